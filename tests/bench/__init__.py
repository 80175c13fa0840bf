"""What the hub can do, measured against what others do: `make bench`, or `make bench B=mqtt`.

    python -m tests.bench [NAME …] [--seconds 10] [--rounds 3]

JSON lines on stdout, a table and progress on stderr. Ours and the peer take turns on the same
server (A B A B …); a figure is the median of its rounds. Nothing is asserted here: machines differ.
"""
