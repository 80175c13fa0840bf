"""The journal: one ordered, durable log of everything that happened.

Invariants
  1. Ids are issued without gaps: record n+1 follows record n, for ever; they start at 1. An id is
     never given to two different records that anybody could have read.
  2. A record at or below the mark was fsynced before anybody was told of it. Readers read no
     further than the mark, so nothing acts on what a power cut could take back.
  3. A durable record is never rewritten. A failed append leaves the log as it was; called again
     with the same drafts it writes the same bytes.
  4. Records leave in two ways only. A whole segment that every cursor has passed is unlinked
     (*freeing*). The oldest segments lose their polled records when that class is over its quota
     (*thinning*); a gap stands for each run of them and says which ids and times it was.
  5. Whatever else is missing or spoiled is damage. A reader names it by id and time, and goes on
     with the next good record.
  6. One process writes (a lock on the folder proves it); any number read.

Room
  Each class has a quota of bytes of its own, so that none can fill another's:
    acknowledged   when full, records are refused: their source keeps them, unacknowledged
    polled         when full, the oldest are dropped by thinning. While the housekeeping is behind
                   (two segments over the quota), new ones are refused instead
    acts           people's acts and ticks; room that readings can't use up
  The log stays one chain (one order, one fsync a batch), so a class alone can't be freed from its
  front; thinning rewrites a closed segment without that class, once, at most doubling what was
  written. A segment is closed early when the polled records that must go are still in the open
  one. Of the disk itself a reserve stays free: below it only acts are taken. Nothing stored is
  sacrificed for a disk that somebody else has filled.

Files
  <first id, 20 digits>.seg       header, then records back to back; the last one is appended to
  <first id, 20 digits>.thin      a thinned segment in the making; removed when the journal opens
  <first id, 20 digits>.spoiled   was being created when the machine stopped; holds no record
  mark                            the highest fsynced id and its record's time
  cursors/<name>                  the last id that a reader is done with, for rule 4

Segment header (64 bytes, little endian)
  8s magic "TOBAJRN1"   u32 version   u32 1 if thinned   u64 first id
  i64 time its first record was received, ns UTC
  u64 bytes of class 0, 1, 2 ever written before   u32 zero   u32 CRC-32 of the 60 bytes before
Record (32 bytes, then the payload)
  u16 magic 0x5254   u8 kind   u8 class   u32 payload length   u64 id   i64 time received, ns UTC
  u32 CRC-32 of the payload   u32 CRC-32 of the 28 bytes before
Gap: a record of kind 255, whose id and time are the run's first; payload u64 last id, i64 last time
Mark (40 bytes, memory-mapped): twice u64 id, i64 time, u32 CRC-32 of the 16 bytes before

Another version is refused, politely, and left as it is; it stands for the payloads
(`hub/records.py`), too. Magic, version and checksum of the segment
header stand at these places in every version.

What is found out, and what is not
  A spoiled payload costs its record alone; the header's own checksum tells which. Behind a spoiled
  header the next good one is searched; the records between are known by their neighbours' ids and
  times. A spoiled segment header costs nothing: name and neighbours tell what it said.
  A cut tail is known by the mark, which is memory: a killed process leaves it exact, whereas after
  a power cut it is what the kernel or the sync of each second last wrote. So a disk that loses what
  it said was synced, in the very second before the power went, is not found out. Nor is a mark of
  which both copies are spoiled together with a cut tail.
  A torn tail beyond the mark was never acknowledged and is cut off. Whole records beyond the mark
  are kept: they may have been durable.
"""

from hub.journal.reader import Lost, Reader
from hub.journal.record import Class, Kind, OtherFormat, Record
from hub.journal.space import Kept
from hub.journal.writer import Journal, Locked

__all__ = ["Class", "Journal", "Kept", "Kind", "Locked", "Lost", "OtherFormat", "Reader", "Record"]
