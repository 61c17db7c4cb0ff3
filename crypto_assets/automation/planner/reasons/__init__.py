"""Why a day should be materialised: one file per reason. Each reads the state and returns wanted days.

What does not belong here: runs, ranges and attempts. They are made by ``plan.py``.
"""
