"""Models and signals: splitter, features ranked within the hour, training, metrics, portfolio, registry of trials.

Here: arithmetic on frames and arrays, and the text of a stored model. No Dagster, no network, no clock.
Not here: the tables of models (``tables/models.py``), their assets and checks, and the commands.
"""
