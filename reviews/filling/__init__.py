"""What enters a queue and why: drafts, samples by rule, weak summaries, pairs.

Knows nothing of the desk.
"""
