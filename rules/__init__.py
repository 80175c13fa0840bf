"""Rules an officer can read: YAML in, alerts out.

    reading ─► Watch ─► conditions.py ─ edge ─► alert.py ─ step ─► Transition
                 ▲        (per series)            (machine)           │
       ticks, people's acts,            topology.py, inquiry.py, telling.py ─ cause, who is told
       verdicts of what was asked

`model.py` says what a rule is, `watch.py` is the seam that the hub drives, `testing.py` runs the
cases beside each rule in `library/`. Pure and deterministic: time comes in as an argument, the
same inputs give the same transitions. Nothing of the hub is imported but `hub.reading`.
"""
