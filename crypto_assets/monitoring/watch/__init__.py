"""What the alert sensors look at: each file turns one part of the platform's state into sightings.

Nothing here opens an incident or sends a message; a subject that could not be judged is not mentioned.
"""
