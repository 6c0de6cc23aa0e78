"""What templates of both sides call.

Knows nothing of pages.
"""
