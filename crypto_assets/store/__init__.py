"""The Python face: what a notebook or a program gets from :func:`crypto_assets.open`.

Belongs here: reading tables, features and training sets, and how they look in a notebook. Loads no Dagster.
Not here: how files are stored (``storage/``), the HTTP gateway (``serving/``), what commands do (``operate/``).
"""
