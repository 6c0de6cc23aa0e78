"""Pure functions of texts: spans, sentences and what supports them, marked errors, single changes.

Knows nothing of Django, tables or people.
"""
