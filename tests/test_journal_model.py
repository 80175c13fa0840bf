"""The journal against a plain list: after each random step, crash included, both must agree.

Every difference between them must be explained by a loss that the journal itself names. Hypothesis
looks for a sequence of steps that it can't explain; what it found so far is in
`journal_model/test_seeds.py`. `TOBA_JOURNAL_EXAMPLES=2000` searches longer, and then for the
shortest steps.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub.journal import Class, Journal, Kind, Lost, Reader, Record
from hub.journal.files import Cursor, Mark, segments
from hub.journal.record import GAP_BYTES, RECORD_HEADER, SEGMENT_HEADER
from tests.journal_disk import Died, Disk

SECOND = 1_000_000_000
SEGMENT = 1024
QUOTAS = {int(Class.ACKNOWLEDGED): 4000, int(Class.POLLED): 3000, int(Class.ACT): 1500}
CURSORS = ("engine", "forward")
EXAMPLES = int(os.environ.get("TOBA_JOURNAL_EXAMPLES", "0"))

Step = Callable[[], object]
seeds = st.integers(0, 2**32 - 1)
batches = st.lists(
    st.tuples(st.sampled_from(list(Class)), st.integers(16, 200)), min_size=1, max_size=6
)


class JournalModel(RuleBasedStateMachine):
    """`self.records` is the plain list: what was ever appended, by id."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.disk = Disk(self.folder)
        self.records: dict[int, Record] = {}
        self.durable = 0
        self.appended = 0
        self.hurt: set[int] = set()
        """What flipped bits and cut files have cost."""
        self.flipped = False
        self.dropped: set[int] = set()
        """What readers were told was taken out for want of room."""
        self.named: set[int] = set()
        """What the journal said at its opening that it had lost."""
        self.marks = [0]
        """What the mark may be after a power cut."""
        self.done = dict.fromkeys(CURSORS, 0)
        self.readers = {name: Reader(self.folder) for name in CURSORS}
        self.pending: list[Record] = []
        """What an append that did not end may have written."""
        self.journal: Journal

    def teardown(self) -> None:
        for reader in self.readers.values():
            reader.close()
        with self.disk.plugged_in():
            self.journal.close()
        shutil.rmtree(self.folder)

    # What happens to it

    @initialize()
    def begin(self) -> None:
        self._open()

    @rule(batch=batches)
    def append(self, batch: list[tuple[Class, int]]) -> None:
        self._append(batch)

    @rule(klass=st.sampled_from(list(Class)), number=st.integers(1, 40), each=st.integers(1, 10))
    def flood(self, klass: Class, number: int, each: int) -> None:
        """Much of one class, a sprinkle of another, as far as there is room."""
        other = Class((klass + 1) % 3)
        for n in range(number):
            batch = [(klass, 60 + n)] * each + [(other, 40)] * (n % 5 == 0)
            if self.journal.room(klass) and self.journal.room(other):
                self._append(batch)

    @rule(klass=st.sampled_from(list(Class)), number=st.integers(10, 40))
    def flood_and_keep_house(self, klass: Class, number: int) -> None:
        for _ in range(3):
            self.flood(klass, number, 2)
            self.keep_house()
        assert self.journal.used(Class.POLLED) <= QUOTAS[Class.POLLED] + SEGMENT
        if klass == Class.POLLED:
            assert self.journal.room(klass) or self.hurt

    @rule()
    def catch_up(self) -> None:
        for name in CURSORS:
            before = -1
            while before < self.done[name]:
                before = self.done[name]
                self.read(name, 4000)

    @rule(name=st.sampled_from(CURSORS), limit=st.integers(1, 3000))
    def read(self, name: str, limit: int) -> None:
        self._read(self.readers[name], limit, self.done[name])
        self.done[name] = self.readers[name].next_id - 1
        Cursor(self.folder, name).set(self.done[name])

    @rule()
    def keep_house(self) -> None:
        over = self.journal.used(Class.POLLED) > QUOTAS[Class.POLLED]
        with self.disk.plugged_in():
            kept = self.journal.keep_house()
        self.marks = [self.durable]
        assert over or not kept.thinned, "nothing is dropped while there is room"
        for gap in kept.dropped:
            assert gap.first_id > min(self.done.values()), "readers had that already"
            polled = {self.records[n].klass for n in range(gap.first_id, gap.last_id + 1)}
            assert polled == {Class.POLLED}

    @rule(batch=batches)
    def append_on_a_full_disk(self, batch: list[tuple[Class, int]]) -> None:
        self.disk.full = True
        with suppress(OSError):
            self._append(batch)
            raise AssertionError("a full disk took it")
        self.disk.full = False
        assert self.journal.last_id == self.durable or self.named

    @rule()
    def open_again(self) -> None:
        with self.disk.plugged_in():
            self.journal.close()
        self._open()

    @rule(batch=batches, at=st.integers(1, 8), power=st.booleans(), seed=seeds)
    def die_while_appending(
        self, batch: list[tuple[Class, int]], at: int, power: bool, seed: int
    ) -> None:
        self._die(lambda: self._append(batch), at, power, seed)

    @rule(at=st.integers(1, 20), power=st.booleans(), seed=seeds)
    def die_while_keeping_house(self, at: int, power: bool, seed: int) -> None:
        self._die(lambda: self.journal.keep_house(), at, power, seed)

    @rule(at=st.integers(1, 6), power=st.booleans(), seed=seeds)
    def die_while_opening(self, at: int, power: bool, seed: int) -> None:
        with self.disk.plugged_in():
            self.journal.close()
        self._die(self._open, at, power, seed)

    @rule(seed=seeds)
    def lose_power(self, seed: int) -> None:
        self._die(lambda: None, 1, True, seed)

    @precondition(lambda self: segments(self.folder))
    @rule(seed=seeds)
    def flip_a_bit(self, seed: int) -> None:
        random = Random(seed)
        before = self._found()
        path = random.choice(segments(self.folder))[1]
        data = path.read_bytes()
        at = random.randrange(len(data))
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << random.randrange(8)]))
        self.marks = [self.durable]  # where the kernel has not written it back, nobody could tell
        self.disk.synced[path] = path.read_bytes()
        self.flipped = True
        cost = before - self._found()
        assert len(cost) <= 1, "a flipped bit costs its record alone"
        for number in cost:
            begin = data.index(self.records[number].payload) - 32
            assert begin <= at < begin + 32 + len(self.records[number].payload)
        self.hurt |= cost

    @precondition(lambda self: segments(self.folder))
    @rule(seed=seeds)
    def cut_the_tail(self, seed: int) -> None:
        """While the hub is down."""
        random = Random(seed)
        with self.disk.plugged_in():
            self.journal.close()
        before = self._found()
        path = segments(self.folder)[-1][1]
        size = path.stat().st_size
        os.truncate(path, max(0, size - random.choice((random.randint(1, 100), size // 2, size))))
        self.disk.synced[path] = path.read_bytes()
        self.hurt |= before - self._found()
        self._open()

    # What must hold

    @invariant()
    def a_new_reader_finds_everything_or_says_why_not(self) -> None:
        reader = Reader(self.folder)
        self._read(reader, 300 + 97 * (self.appended % 50), 0, whole=True)
        reader.close()

    @invariant()
    def the_bytes_are_counted_right(self) -> None:
        if not self.hurt:
            there = sum(path.stat().st_size - SEGMENT_HEADER for _, path in segments(self.folder))
            assert sum(self.journal.used(klass) for klass in Class) == there

    # How it is done

    def _append(self, batch: Iterable[tuple[Class, int]]) -> None:
        drafts = []
        for klass, size in batch:
            self.appended += 1
            # The filling looks like the begin of a record, to mislead whoever searches for one.
            payload = (b"%08d" % self.appended + b"TR\1\1" * 50)[:size]
            drafts.append((self.appended * SECOND, int(Kind.READINGS), int(klass), payload))
        first = self.journal.last_id + 1
        self.pending = [Record(n, t, k, c, p) for n, (t, k, c, p) in enumerate(drafts, first)]
        with self.disk.plugged_in():
            found = self.journal.append(drafts)
        assert found == (first, first + len(drafts) - 1)
        self._is_durable(found[1])

    def _is_durable(self, last_id: int) -> None:
        for record in self.pending:
            if record.id <= last_id:
                self.records[record.id] = record
        self.pending = []
        self.durable = last_id
        self.marks.append(last_id)

    def _open(self) -> None:
        with self.disk.plugged_in():
            self.journal = Journal(
                self.folder, now_ns=1, segment_bytes=SEGMENT, quotas=QUOTAS, cursors=CURSORS
            )
        lost = self.journal.lost
        if lost is not None:
            ids = set(range(lost.first_id, lost.last_id + 1))
            # What was dropped before may have stood at the end, as a note that is now gone too.
            assert ids <= self.hurt | self.dropped, f"{lost} was not hurt"
            self._times_are_right(lost, ids)
            self.named |= ids
        assert self.journal.last_id >= self.durable, "an acknowledged record is gone"
        self._is_durable(self.journal.last_id)
        self.marks = [self.durable]

    def _die(self, step: Step, at: int, power: bool, seed: int) -> None:
        """Be killed in the `at`th thing that it asks of the disk, or after all of them."""
        random = Random(seed)
        self.pending = []
        self.disk.die_at = self.disk.calls + at
        with suppress(Died), self.disk.plugged_in():
            step()
        self.disk.end_process()
        if power:
            self.disk.lose_power(random)
            self._mark_is_now(random.choice(self.marks))
            for name, reader in self.readers.items():
                reader.close()
                self.readers[name] = Reader(self.folder, self.done[name])
        self._open()

    def _mark_is_now(self, number: int) -> None:
        mark = Mark(self.folder, write=True)
        time_ns = self.records[number].time_ns if number in self.records else 0
        mark.set(number, time_ns)
        mark.close()

    def _found(self) -> set[int]:
        reader = Reader(self.folder)
        found = {r.id for batch in iter(lambda: reader.read(700), []) for r in batch}
        reader.close()
        return found

    def _read(self, reader: Reader, limit: int, after: int, *, whole: bool = False) -> None:
        """Read once, or all; what comes and what is said to be lost must make up the list."""
        found: list[Record] = []
        while batch := reader.read(limit):
            found += batch
            if not whole:
                break
        lost, reader.lost = list(reader.lost), []
        ids = {record.id for record in found}
        assert [record.id for record in found] == sorted(ids)
        assert all(record == self.records[record.id] for record in found)
        missing = set(range(after + 1, reader.next_id)) - ids
        for one in lost:
            there = missing & set(range(one.first_id, one.last_id + 1))
            assert one.records == len(there), f"{one} counts {len(there)} otherwise"
            assert all(self._explained(one, number) for number in there), f"{one} is not explained"
            self._times_are_right(one, there)
            if one.reason == "quota":
                self.dropped |= there
            missing -= there
        assert not missing, f"{missing} is missing and not named"
        unread = set(range(reader.next_id, self.durable + 1))
        known = self.named | self.hurt | self.dropped | set(range(1, min(self.done.values()) + 1))
        assert not whole or unread <= known, f"{unread - known} can't be reached"
        # A record that is no longer than the note of its absence would be stays.
        worth = [record for record in found if len(record.payload) > GAP_BYTES - RECORD_HEADER]
        polled = [record.id for record in worth if record.klass == Class.POLLED]
        if whole and polled:
            quota = [one.last_id for one in lost if one.reason == "quota"]
            assert all(last < polled[0] for last in quota), "not the oldest were dropped"

    def _explained(self, lost: Lost, number: int) -> bool:
        if number in self.hurt | self.dropped or number <= min(self.done.values()):
            return True
        # The note of what was dropped may be spoiled itself.
        polled = self.records[number].klass == Class.POLLED
        return polled and (lost.reason == "quota" or self.flipped)

    def _times_are_right(self, lost: Lost, ids: Iterable[int]) -> None:
        for number in ids:
            time_ns = self.records[number].time_ns
            assert lost.after_ns <= time_ns
            assert not lost.before_ns or time_ns <= lost.before_ns, f"{lost}: {time_ns}"


JournalModel.TestCase.settings = settings(
    max_examples=EXAMPLES or 40,
    stateful_step_count=40,
    deadline=None,
    # Finding the shortest steps takes minutes, which is for whoever searches on purpose.
    phases=[Phase.explicit, Phase.reuse, Phase.generate] + [Phase.shrink] * bool(EXAMPLES),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestJournalModel = JournalModel.TestCase
