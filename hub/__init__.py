"""The Toba hub. Start reading at `app.py`, which draws it; here is what stands in which room.

both processes   app supervisor link
one writes       ingest, inforce; a collector: host notebook running polling probing;
                 what it hands over: pipeline doubt units redelivery committer own
the log          journal/ records
one reads        serve, serveside health vigil;
                 rules: engine fold outcome ledger presence timesheet proposals edges;
                 the store: forward decoded gate store/ rollup rollups dirty past snapshot;
                 people: people notify/ acts windows plans planner;
                 the board: backend web/ phrases fieldlink
plugins          api reading manifest registry
what it is told  configuration settings settings_file inventory inventory_file rulebook ruleset
                 reload yamlfile modelpath problems oversights regency/
verbs            __main__ cli/ demo/ doctor discovery importing report/ backtest/ backup marks
                 influx_setup/ scaffold deploy/
everywhere       clock localtime logs network wholefile aside
"""

__version__ = "0.1.0"
