"""Pure functions of texts: sentences, stems, measures, differences, near duplicates, what comments say.

Knows nothing of Django, tables and learning libraries.
"""
