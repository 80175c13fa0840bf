"""Routers and switches by SNMP."""
