"""Lost messages by the device's own counter (`seq`, unsigned 32 bit, kept over its restarts)."""

from __future__ import annotations

MODULUS = 1 << 32
MAX_GAP = 10_000
"""A longer jump is a new counter (device replaced, memory wiped), not a loss."""


class Sequences:
    """The last counter of each device."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def lost(self, device: str, seq: int) -> int:
        """How many messages are missing between the last one and this one."""
        last = self._last.get(device)
        if last is None:
            self._last[device] = seq
            return 0
        step = (seq - last) % MODULUS
        if step == 1:
            self._last[device] = seq
            return 0
        if step == 0 or step > MODULUS - 100:
            return 0  # again, or overtaken by a younger one: keep counting from the youngest
        self._last[device] = seq
        return step - 1 if step <= MAX_GAP else 0
