"""Incidents and their messages: what opens and closes an incident, who is notified, how deliveries are repeated.

The state is in Dagster's Postgres, so that a process killed at any instant neither loses a message nor opens an incident
twice. Only ``sensors.py`` imports Dagster. What does not belong here: what is observed (``monitoring/watch/``).
"""
