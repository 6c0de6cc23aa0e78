"""Commands of the human side.

Knows nothing of rules: the packages it calls decide.
"""
