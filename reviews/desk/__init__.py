"""One person and one item: taking it, answering, taking back, going on.

Knows nothing of other people's conversations.
"""
