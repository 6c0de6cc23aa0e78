"""Files become documents: read, mapped, compared with what is there, given their split.

Knows nothing of queues or reviews.
"""
