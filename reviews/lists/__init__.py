"""Long lists by statements that are made once a process.

Knows nothing of what is listed.
"""
