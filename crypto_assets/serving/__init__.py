"""What consumers read online: the newest features row of each coin, in Postgres.

What does not belong here: how features are computed (``features/``) and the warehouse itself (``storage/``).
"""
