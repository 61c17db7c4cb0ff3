"""crypto_assets: crypto market data as a Dagster asset graph.

Data enters as HTTP responses and goes one way: source -> asset -> table -> features -> reader. Start reading at
:mod:`crypto_assets.definitions`, which collects the whole graph. Every package says in its ``__init__`` what belongs there.
Beside the packages are only the modules that all of them share: settings, errors, dates, proxies.
"""

__version__ = "0.1.0"
