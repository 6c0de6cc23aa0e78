"""The REST API of the machine side, and what both APIs share: tokens, errors, pages, idempotency.

Knows nothing of rules: the packages it calls decide.
"""
