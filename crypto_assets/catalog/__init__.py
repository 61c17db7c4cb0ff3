"""The known coins and the names that each source gives them: rows (``coins.csv``) and the code that reads them.

Requests to providers do not belong here, nor anything about prices.
"""

from crypto_assets.catalog.coins import Coin, all_coins, by_symbol, select, symbols

__all__ = ["Coin", "all_coins", "by_symbol", "select", "symbols"]
