"""Processor and memory of one device."""

from __future__ import annotations

from collectors.snmp.codec import Value
from collectors.snmp.oids import Oid
from collectors.snmp.parse import Storage, cpu_pct, mem_pct, number
from collectors.snmp.reader import Reader
from collectors.snmp.table import Table
from hub.api import Emit, Host, Reading, Series
from hub.api import Value as Field


async def read_health(reader: Reader, table: Table, series: Series, host: Host, emit: Emit) -> None:
    """Emit `cpu_pct` and `mem_pct` where the device has them. Raises `NoAnswer`."""
    values: dict[Oid, Value] = {}
    async for page in reader.read(table.health):
        for oid, (value,) in page.rows:
            values[oid] = value
    fields: dict[str, Field] = {}
    load = cpu_pct(values.get(oid) for oid in table.processors)
    if load is not None:
        fields["cpu_pct"] = load
    rows = []
    for row in table.memory:
        units, size, in_use = (number(values.get(oid)) for oid in row.oids)
        if units is not None and size is not None and in_use is not None:
            rows.append(Storage(row.kind, row.descr, units, size, in_use))
    used = mem_pct(rows)
    if used is not None:
        fields["mem_pct"] = used
    if fields:
        emit(Reading(series, host.now_ns(), fields))
