"""The warehouse: Delta tables behind one IO manager, and read-only SQL over them.

Where rows come from does not belong here, nor what they mean (see ``tables``).
"""
