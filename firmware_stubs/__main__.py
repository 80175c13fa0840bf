"""`python -m firmware_stubs --inventory FILE`: the simulated field as a process."""

from firmware_stubs.control import main

if __name__ == "__main__":
    raise SystemExit(main())
