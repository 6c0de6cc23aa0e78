"""What is asked, of how many people and by which rules; who sees what of it.

Knows nothing of anybody's answer.
"""
