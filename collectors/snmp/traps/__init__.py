"""Traps and informs: agents that speak first. Every one is a hint to poll, and proves nothing."""
