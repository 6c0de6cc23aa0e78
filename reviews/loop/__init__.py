"""The whole loop on one file, its report, and the sample workspace.

Knows nothing of pages.
"""
