"""Pages of the human side; folders are named like the packages that they open.

Knows nothing of rules: the packages it calls decide.
"""
