"""Who wants to be asked when: alerts with a timer running, absences, counts."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from rules.roster import Track


class Agenda:
    """A heap of notes (time, key); each track stands under at most one time that counts."""

    def __init__(self, tracks: Mapping[str, Track]) -> None:
        self._tracks = tracks
        self._notes: list[tuple[int, str]] = []

    def note(self, track: Track) -> None:
        """Note when it wants to be asked. An earlier note stays: it only asks too soon."""
        due = track.due()
        if due is not None and (track.armed_ns is None or due < track.armed_ns):
            track.armed_ns = due
            heapq.heappush(self._notes, (due, track.key))

    def rewrite(self) -> None:
        """All times may be others now."""
        self._notes.clear()
        for track in self._tracks.values():
            track.armed_ns = None
            self.note(track)

    @property
    def first_ns(self) -> int | None:
        """Nobody wants to be asked before that; None: nobody does at all."""
        return self._notes[0][0] if self._notes else None

    def due_by(self, now_ns: int) -> list[Track]:
        """Those that are due, in an order that does not depend on what was noted when."""
        found: dict[str, int] = {}
        while self._notes and self._notes[0][0] <= now_ns:
            noted, key = heapq.heappop(self._notes)
            track = self._tracks[key]
            if track.armed_ns != noted:
                continue
            track.armed_ns = None
            due = track.due()
            if due is not None and due <= now_ns:
                found[key] = due
            else:
                self.note(track)
        return [self._tracks[key] for key in sorted(found, key=lambda key: (found[key], key))]
