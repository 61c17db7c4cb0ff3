"""Choose coins by what a person wrote: symbols, tickers of venues, ``top:N`` or ``all``."""

from __future__ import annotations

from crypto_assets.catalog.coins import Coin, all_coins, by_symbol
from crypto_assets.catalog.listings import coin_of
from crypto_assets.errors import UsageError, suggestion


def select(spec: str) -> tuple[Coin, ...]:
    """Choose coins.

    Args:
        spec: ``BTC,ETH``, ``top:N`` or ``all``. A name that is no symbol of the catalogue is a venue's ticker (``PAX``,
            ``BTTCUSDT``) and means the coin that was traded under it.

    Returns:
        The coins, without duplicates.

    Raises:
        UsageError: a coin is not in the catalogue, none is named, a ticker meant several coins, or N is not from 1 to the
            number of coins.
    """
    spec = spec.strip()
    if spec.lower() == "all":
        return all_coins()
    if spec.lower().startswith("top:"):
        count = spec[4:].strip()
        if not count.isdigit() or not 1 <= int(count) <= len(all_coins()):
            raise UsageError(f"CRYPTO_ASSETS_COINS {spec!r}: N must be a whole number from 1 to {len(all_coins())}")
        return all_coins()[: int(count)]
    names = [part.strip().upper() for part in spec.split(",") if part.strip()]
    try:
        found = {name: coin_of(name) for name in names}
    except UsageError as error:
        raise UsageError(f"CRYPTO_ASSETS_COINS: {error}") from error
    unknown = [name for name, coin in found.items() if coin is None]
    if unknown or not names:
        raise UsageError(
            f"CRYPTO_ASSETS_COINS names {', '.join(unknown) or 'no coin'}, not in the catalogue"
            f"{suggestion(unknown, by_symbol())}; "
            "use symbols such as BTC,ETH, or top:N, or all (the coins are in crypto_assets/catalog/coins.csv)"
        )
    return tuple(dict.fromkeys(coin for coin in found.values() if coin is not None))
