"""The known coins and the names that each source gives them, also over time: rows (CSV) and the code that reads them.

Requests to providers do not belong here, nor anything about prices.
"""

from crypto_assets.catalog.coins import Coin, all_coins, by_symbol, symbols
from crypto_assets.catalog.selection import select

__all__ = ["Coin", "all_coins", "by_symbol", "select", "symbols"]
