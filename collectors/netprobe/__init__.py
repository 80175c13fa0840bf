"""Is the device's network there? See README.md."""
