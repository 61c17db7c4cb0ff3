"""The coins we know and the names that each source gives them: rows (``coins.csv``) and the code that reads them.

What does not belong here: requests to providers, and anything about prices.
"""

from crypto_assets.catalog.coins import Coin, all_coins, by_symbol, select, symbols

__all__ = ["Coin", "all_coins", "by_symbol", "select", "symbols"]
