"""Versions of prompts.

Knows nothing of trials and suggestions.
"""
