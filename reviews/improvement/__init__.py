"""Requests for retraining and for another prompt: what speaks for them, who votes, what they led to.

Knows nothing of how a model is trained or a prompt is written.
"""
