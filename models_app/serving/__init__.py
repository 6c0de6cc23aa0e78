"""Slots: the processes that hold the models of releases, and the way of a summary request to one.

A web process keeps in memory which release is live, where its slot listens and which tokens may ask (`keeping.py`); a
thread reads that again when the database notifies of a change, and once a second anyway. Rows of the request log that
come at the same time go into the database together, before their requests are answered (`request_log.py`). While the
database is away (`outage.py`) summaries go on by what was read last, and the rows wait in files (`spool.py`).

Knows nothing of approval.
"""
