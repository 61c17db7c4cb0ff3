"""The local model (Ollama): what we ask it, which part of its answer we trust, and what happens when its server fails.

One call covers one article. An answer is stored under the hash of text, model and prompt, so that nothing is asked
twice. The deterministic analyser and the aggregates do not belong here, nor do tables and Dagster.
"""
