"""`toba-hub demo`: a simulated regency and the whole hub on it, in one command.

field.py: the regency as a process ─ addresses ─► inventory.yaml ┐
settings.py: quick periods, short `for` ────────► toba-hub.yaml ─┴─► play.py: the same two
story.py: a day instead, told by a faster clock                      processes as `toba-hub run`
                                             summary.py: what came of it ◄┘
"""
