"""The warehouse: Delta tables behind one IO manager, and read-only SQL over them.

What does not belong here: where rows come from, and what they mean (tables/ says that).
"""
