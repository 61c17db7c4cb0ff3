"""The one planner of repairs. It turns wanted days (table, day, coins, reason) into runs.

Each file of ``reasons/`` reads the state and returns wanted days. Only ``plan.py`` makes runs of them: it chunks, bounds
the memory, leaves out what is under way, counts attempts and puts inputs first. ``requests.py`` hands the runs to Dagster.
What does not belong here: the sensors and schedules that call it (``automation/repair.py``), and the ticks.
"""
