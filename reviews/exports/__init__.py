"""Rows out: which, in which columns, into which file.

Knows nothing of pages.
"""
