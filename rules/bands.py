"""A ladder of classes: the step that a value stands on."""

from __future__ import annotations

from dataclasses import dataclass

from rules.rule import Text


@dataclass(frozen=True, slots=True)
class Band:
    """One class of a ladder."""

    key: str
    name: Text
    upper: float | None
    """Values up to here, this one included unless the ladder says otherwise; None: no end."""


def band(ladder: tuple[Band, ...], value: float, *, includes_upper: bool = True) -> Band:
    """The class of a value. Raises ValueError for NaN."""
    if value != value:
        raise ValueError("NaN has no class")
    for step in ladder:
        if step.upper is None or value < step.upper or (includes_upper and value == step.upper):
            return step
    return ladder[-1]
