"""Kill the hub wherever it hurts, under load, and count what came through.

    publisher ─► mosquitto ─► ingest ─► journal ─► serve ─► store
        │                       ▲          │         │  └─► webhook
        │             killed, started      │         └─► ledger: transitions, owed messages
        │             again, by `drivers`  ▼
        └────► what the broker     witness: every record,
               acknowledged        folded by a Watch of its own
                       └──────┬────────────┴──── judge: nothing lost, nothing twice

Product code knows nothing of this: `child` patches the named seams (`points`) of the process that
it then runs as `hub.app` would.

    python -m tests.chaos                       everything, as `make chaos`
    python -m tests.chaos kills --hits 3 --kills 20
"""
