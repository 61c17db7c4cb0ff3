"""One file a provider: request -> validated frame. httpx inside, no Dagster.

A source raises ``SourceError`` in one sentence or gives every row it was asked for; it never returns a guess.
"""
