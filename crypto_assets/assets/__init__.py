"""Thin shells: read inputs, call a source or a transform, attach metadata.

What does not belong here: parsing, formulas, SQL. If a body needs more than a dozen lines, the logic wants a pure home.
"""
