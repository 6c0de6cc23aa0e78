"""What one person is told in the page.

Knows nothing of what happened elsewhere: whoever makes it happen tells it.
"""
