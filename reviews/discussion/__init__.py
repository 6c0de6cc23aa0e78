"""Who says what about an item or a prompt version, and who sees it under which name.

Knows nothing of how a page shows it.
"""
