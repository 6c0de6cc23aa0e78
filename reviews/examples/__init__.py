"""What may be learnt from: feedback examples, the references of test documents, lists of both.

Knows nothing of places in a queue.
"""
