"""Cameras that live, or only seem to; see README.md."""
