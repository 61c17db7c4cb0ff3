"""Pure functions, frame -> frame: what is computed from what.

No Dagster, no clock, no network, no environment (a test enforces it); reading and writing belong to assets and storage.
"""
