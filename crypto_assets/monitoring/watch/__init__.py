"""What the alert sensors observe: one file per kind of alert, each with its ``WATCHER``.

A watcher turns one part of the platform's state into sightings: a sighting with trouble opens an incident, one without
closes it, and a subject whose state is unknown has no sighting. What does not belong here: incidents, messages and Dagster
sensors (``monitoring/alerts/``).
"""
