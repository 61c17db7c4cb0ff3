"""The operations behind the command line: backfill, status, demo, dataset, doctor, explain.

They work on a Dagster instance and the warehouse. What does not belong here: output to the terminal (``cli/``), and the
decision which days need a run (``automation/planner/``).
"""
