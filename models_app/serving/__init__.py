"""Slots: the processes that hold the models of releases, and the way of a summary request to one.

Knows nothing of approval.
"""
