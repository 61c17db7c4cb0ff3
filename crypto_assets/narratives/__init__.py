"""What the news says: articles to coins, themes and tone, aggregated by coin and hour. ``llm/`` holds the local model.

Pure functions from frame to frame, but for ``llm/``. What does not belong here: fetching feeds (``sources/rss.py``).
"""
