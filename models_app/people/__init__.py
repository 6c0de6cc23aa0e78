"""Accounts: made, deactivated, their links, sessions, second factors.

Knows nothing of what people do with them.
"""
