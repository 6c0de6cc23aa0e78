"""Prompts tried on articles, and suggested by reviewers.

Knows nothing of the desk.
"""
