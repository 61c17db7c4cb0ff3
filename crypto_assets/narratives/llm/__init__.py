"""Ollama: what is asked of the model, what of its answer is trusted, and how a failing server is lived with.

One article a call; an answer is kept under the hash of text, model and prompt, so that nothing is asked twice. What
does not belong here: the deterministic analyser and the aggregates (``transforms/``), tables and Dagster.
"""
