"""What is copied to the boards. `*_core.py` and `drivers.py` run on a PC too; `*main.py` do not."""
