"""The Toba hub. Start reading at `hub/app.py`."""

__version__ = "0.1.0"
