"""`python -m hub` is `toba-hub`."""

from hub.cli import main

main()
