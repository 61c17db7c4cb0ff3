"""The Dagster instance: embedded Postgres, the home folder, the processes of ``dev``.

What does not belong here: the graph itself, and anything that knows of tables.
"""
