"""What the command line does, without the command line: launching runs, finding stale partitions, reporting status.

Everything here works on a real Dagster instance and the warehouse; nothing prints.
"""
