"""Commands of the machine side, and what all commands share.

Knows nothing of rules: the packages it calls decide.
"""
