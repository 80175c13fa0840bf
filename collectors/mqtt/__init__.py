"""Sensors that publish over MQTT; see README.md."""
