"""What one person is told in the page.

Knows nothing of what happened elsewhere: the code that makes it happen says so.
"""
