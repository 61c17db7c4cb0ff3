"""What consumers read online: the newest features row of each coin, in Postgres.

Computing features does not belong here (see ``features/``), nor the warehouse itself (see ``storage/``).
"""
