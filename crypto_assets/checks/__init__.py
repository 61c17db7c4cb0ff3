"""Checks of the tables and of the platform: one file per subject, and ``shells.py``, which makes Dagster checks of them.

A check is a function of the stored rows and a range of days, so that the UI and ``status`` show the same result.
What does not belong here: the validation before a write (``tables/contract.py``) and alerts (``monitoring/``).
"""
