"""The journal: one ordered, durable log of everything that happened.

Invariants
  1. Ids are gap-free: record n+1 follows record n, for ever; they start at 1.
  2. A record at or below the mark was fsynced before anybody was told of it. Readers read no
     further than the mark, so nothing acts on what a power cut could take back.
  3. An acknowledged record is never rewritten. A failed append leaves the file as it was.
  4. Space is freed only by unlinking whole segments that every cursor has passed.
  5. One process writes (a lock on the folder proves it); any number read.

Files
  <first id, 20 digits>.seg   header, then records back to back
  mark                        the highest fsynced id, twice checksummed; memory-mapped, so that
                              readers in other processes see it at once; itself synced each second,
                              so that after a crash a log that ends below it has lost its tail
  cursors/<name>              the last id that a reader is done with, for rule 4

Segment header (64 bytes, little endian)
  8s magic "TOBAJRN1"   u32 version   u32 zero   u64 first id   i64 created, ns
  u64 bytes of class 0, 1, 2 in all earlier segments   u32 zero   u32 CRC-32 of the 60 bytes before
Record (32 bytes, then the payload)
  u16 magic 0x5254   u8 kind   u8 class   u32 payload length   u64 id   i64 time received, ns
  u32 CRC-32 of the payload   u32 CRC-32 of the 28 bytes before
The header's own checksum lets a reader step over a spoiled payload and lose that record alone; over
a spoiled header it searches for the next good one. What was lost is named by id and time.
"""

from hub.journal.reader import Lost, Reader
from hub.journal.record import Class, Kind, Record, TooNew
from hub.journal.writer import Full, Journal, Locked

__all__ = ["Class", "Full", "Journal", "Kind", "Locked", "Lost", "Reader", "Record", "TooNew"]
