"""Models: families, prompts, training, conversion, engines, artefacts. The only code that imports learning libraries.

Knows nothing of Django, tables, or who asks.
"""
