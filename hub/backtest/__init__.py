"""What rules would have done: history from the store through the watch that judges live.

    store ─ hours of all series ─► Ahead ─ what matters ─► store ─ readings ─► Replay ─► Tally
            (history.py)     (rules/replay.py)                     (run.py)           (tally.py)

The command line shows the tallies, `page.py` draws them.
"""
