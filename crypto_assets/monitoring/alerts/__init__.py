"""Incidents and their messages: what opens and closes an incident, who is notified, and how deliveries are repeated.

Nothing here knows Dagster: the sensors (``monitoring/alerts/sensors.py``) pass on what they saw. The state is in
Dagster's Postgres, so that a kill at any instant neither loses a message nor opens an incident twice.
"""
