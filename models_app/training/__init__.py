"""Training runs, the models they register, and what weights are recognised by.

Knows nothing of evaluations.
"""
