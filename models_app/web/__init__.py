"""Pages of the machine side, and what all pages share.

Knows nothing of rules: the packages it calls decide.
"""
