"""What every part stands on: jobs, audit trail, state changes, roles, tokens, errors, turns, locks.

Knows nothing of any part that stands on it.
"""
