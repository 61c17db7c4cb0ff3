"""docs/notebooks and the quick start, run against one home that docs/notebooks/market.py fills."""
