"""``ml_features``: each feature's definition (``*_columns.py``) beside its arithmetic, by family; pure functions over frames.

``definitions.py`` lists the columns in table order, ``build.py`` computes the table. The hourly grid and its windows are
shared. What does not belong here: reading, writing, a clock.
"""
