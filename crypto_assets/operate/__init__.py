"""The operations behind the command line: launching runs, finding stale partitions, reporting status.

Everything here works on a real Dagster instance and the warehouse. Nothing here prints.
"""
