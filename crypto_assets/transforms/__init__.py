"""Pure functions from frame to frame, which compute derived tables.

No Dagster, no clock, no network, no environment (a test enforces it). Reading and writing belong to ``assets`` and
``storage``.
"""
