"""The one planner of repairs: wanted_days (table, day, coins, reason) become runs.

``reasons/`` look at the state and say what they wanted_day; ``plan.py`` alone turns wanted_days into runs: it chunks, bounds the
memory, leaves what is under way, counts attempts and puts inputs first. ``requests.py`` hands the runs to Dagster.
What does not belong here: the sensors and schedules that call it (``automation/repair.py``) and the cadence of ticks.
"""
