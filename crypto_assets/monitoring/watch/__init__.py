"""What the alert sensors observe: each file turns one part of the platform's state into sightings.

Nothing here opens an incident or sends a message. A subject that could not be judged is not reported.
"""
