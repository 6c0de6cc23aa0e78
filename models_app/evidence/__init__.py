"""What a decision on a release was based on, to take away: a signed file, and the model card.

`files.py` gathers everything from the tables; `envelope.py` signs it with Ed25519 and checks it again, knows neither
Django nor the database, and is what `verify_evidence` runs on another machine. The signing key is made at the first
start and kept in `GALLEY_HOME/evidence_key` (`keys.py`); its public half is in every file, on every release's page and
on the page *Audit*.

`card.py` writes the model card, which `storing.py` keeps beside the weights of what is approved.

A signature says that this installation wrote the file and that nobody changed a byte of it since. It does not say that
the file is the latest: a file names the submission that it is about and when it was written, and of two files of one
release `verify_evidence` says which one is superseded. Who has the key can sign anything, and so can who administers
the machine; the audit trail's anchors (`foundation/audit_anchors.py`) are what holds against those.

Knows nothing of how a release is judged or approved.
"""
