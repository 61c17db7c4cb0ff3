"""Incidents and the messages about them: what opens one, what closes it, who is notified and how it survives a failed delivery.

Knows nothing of Dagster: sensors (``monitoring/alerts/sensors.py``) bring what they saw. State is in Dagster's Postgres, so that
a kill at any instant neither loses a message nor opens an incident twice.
"""
