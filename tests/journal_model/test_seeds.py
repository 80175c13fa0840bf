"""What the model test has found, each as the steps that showed it; the first line says what it was.

To add one, paste the steps that Hypothesis prints; the invariants are checked after each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hub.journal import Class
from tests.test_journal_model import JournalModel

ACKNOWLEDGED, POLLED = Class.ACKNOWLEDGED, Class.POLLED


class Steps:
    """A model whose invariants are checked after each step, as Hypothesis does."""

    def __init__(self) -> None:
        self.model = JournalModel()

    def __getattr__(self, name: str) -> Any:
        def step(**given: Any) -> None:
            getattr(self.model, name)(**given)
            self.model.a_new_reader_finds_everything_or_says_why_not()
            self.model.the_bytes_are_counted_right()

        return step


@pytest.fixture
def state() -> Iterator[Steps]:
    steps = Steps()
    steps.begin()
    yield steps
    steps.model.teardown()


def test_a_segment_made_just_before_a_kill_outlives_a_power_cut_after_it_was_used(
    state: Steps,
) -> None:
    """Killed between making a segment and syncing the folder, the hub went on in a file whose name
    was in memory alone; the power cut took acknowledged records with it."""
    state.die_while_appending(at=3, batch=[(ACKNOWLEDGED, 16)], power=False, seed=0)
    state.append(batch=[(ACKNOWLEDGED, 16)])
    state.keep_house()
    state.lose_power(seed=1)


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("seed", range(4))
def test_records_that_a_killed_append_left_are_durable_before_anybody_reads_them(
    state: Steps, at: int, seed: int
) -> None:
    """Found whole after a kill, they were readable at once, though only the page cache had them."""
    state.append(batch=[(ACKNOWLEDGED, 16)])
    state.die_while_appending(at=at, batch=[(ACKNOWLEDGED, 30), (POLLED, 30)], power=False, seed=0)
    state.catch_up()
    state.lose_power(seed=seed)


@pytest.mark.parametrize("seed", [300, 321, 337])
def test_a_repaired_segment_header_claims_no_time_that_it_does_not_know(
    state: Steps, seed: int
) -> None:
    """Its first record was spoiled too, so the next one's time was taken for the first one's, and
    a loss was named with a time at which it can't have been."""
    state.append(batch=[(ACKNOWLEDGED, size) for size in (111, 154, 189, 124, 33, 36)])
    for n in range(6):
        state.flip_a_bit(seed=seed * 7 + n)
    state.open_again()
    state.cut_the_tail(seed=seed)
