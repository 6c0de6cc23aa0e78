"""Snapshots: frozen rows of training data, and their files.

Knows nothing of where examples come from.
"""
