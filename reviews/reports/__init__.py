"""Figures about the work. Nothing is changed here.

Knows nothing of how a page shows them.
"""
