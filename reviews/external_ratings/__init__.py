"""Ratings that people gave elsewhere, read from files and stored as theirs.

Knows nothing of the desk.
"""
