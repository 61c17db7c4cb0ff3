"""The declarations of the tables: columns, key, when a row is known, how it is written, when the table is late.

One file per group, and ``registry.py`` with all of them.
What does not belong here: how rows are fetched or computed.
"""
