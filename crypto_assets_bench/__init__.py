"""Benchmarks: each ours against a baseline measured beside it in the same run. ``python -m crypto_assets_bench NAME…``.

One module a benchmark, named as in the table it prints; it has ``run() -> Result``. Ratios are what to trust.
"""
