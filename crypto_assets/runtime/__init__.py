"""The Dagster instance: embedded Postgres, the home folder, the processes of ``dev``.

The asset graph does not belong here, nor anything that knows about tables.
"""
