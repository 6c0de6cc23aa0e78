"""What is counted of requests and of the service itself.

Knows nothing of how a page shows it.
"""
