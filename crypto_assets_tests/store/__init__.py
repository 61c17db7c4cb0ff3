"""The Python face, as a notebook uses it."""
