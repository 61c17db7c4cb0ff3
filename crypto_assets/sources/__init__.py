"""Providers: one file per provider turns a request into a validated frame.

A source returns every row that it was asked for, or raises ``SourceError`` with one sentence. It never guesses a value.
Nothing here imports Dagster; what a value is used for belongs to ``transforms`` and ``features``.
"""
