"""``ml_features``: the definition of each feature (``*_columns.py``) beside its arithmetic, by family.

All are pure functions over frames. ``all_features.py`` lists the columns in table order, and ``build.py`` computes the
table. All families share the hourly grid and its windows. Reading, writing and a clock do not belong here.
"""
