"""News text: from articles to coins, themes and tone, aggregated by coin and hour. ``llm/`` holds the local model.

Everything outside ``llm/`` is a pure function from frame to frame. Fetching feeds does not belong here (see
``sources/rss.py``).
"""
