"""crypto_assets: crypto market data as a Dagster asset graph.

A datum enters as an HTTP response and walks one way: source -> asset -> table -> features -> signal.
Start reading at :mod:`crypto_assets.definitions`; it shows the whole graph.
"""

__version__ = "0.1.0"
