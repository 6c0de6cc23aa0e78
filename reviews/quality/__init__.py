"""How well people agree: gold items, agreement, disputes and their settlement.

Knows nothing of who works on which item now.
"""
