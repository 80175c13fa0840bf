"""The monthly report of availability: `made.py` makes it, the others write it down.

serve.db: spans, works ─► made.py (sla.py counts) ─► Report ─► page.py  HTML with drawings
inventory, targets     ─┘                                      ├─► table.py CSV
                                                               ├─► paper.py PDF (over pdf.py)
                                                               └─► JSON, as the model is
"""
