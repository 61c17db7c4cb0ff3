"""On-chain columns: ``onchain_enhanced`` derives them from each base day, and ``ml_features`` joins them as-of."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_assets.features.feature import DAILY_STALENESS, Coins, Feature, Need, ends

LONG_DAYS = 365
LONG_LEAST = 0.8  # share of the days of a year; shorter windows must be complete
BASE = "onchain_base"
ENHANCED = "onchain_enhanced"


@dataclass(frozen=True)
class Derived:
    """One column of ``onchain_enhanced``, derived from base columns.

    ``needs``: the inputs that a value needs; by default every input of the day.
    """

    name: str
    unit: str
    formula: str
    inputs: tuple[str, ...]  # columns of onchain_base, without the table's name
    needs: tuple[Need, ...] = ()
    lower: float | None = None
    upper: float | None = None
    coins: Coins = Coins.ONCHAIN
    reference: str = ""

    def __post_init__(self) -> None:
        if not self.needs:
            object.__setattr__(self, "needs", (_of_day(*self.inputs),))

    @property
    def days(self) -> int:
        """The number of days that a value uses, including its own."""
        return max(need.span for need in self.needs)

    @property
    def first_days(self) -> int:
        """Days from the first value of an input until the first value of this column is expected."""
        return max(need.first for need in self.needs)

    def described(self) -> str:
        """Return the definition as one cell of the data dictionary."""
        said = [self.formula, *filter(None, (need.said("day") for need in self.needs))]
        if self.coins is not Coins.ONCHAIN:
            said.append(f"Expected for {self.coins.value}.")
        if self.reference:
            said.append(f"{self.reference}.")
        return " ".join(said)


def _of_day(*columns: str) -> Need:
    return Need(tuple((column, 0) for column in columns))


def _every(column: str, days: int) -> Need:
    return Need(((column, 0),), days)


CAP, REALIZED, TRANSFER, NATIVE = "market_cap_usd", "realized_cap_usd", "transfer_volume_usd", "transfer_volume_native"
COUNT, ADDRESSES, SUPPLY, PRICE, FEES = (
    "transaction_count",
    "active_addresses",
    "supply_current",
    "price_usd",
    "fees_usd",
)
HASHES, DIFFICULTY, INFLOW, OUTFLOW = "hash_rate", "difficulty", "exchange_inflow_usd", "exchange_outflow_usd"

_ISSUED = Need(((SUPPLY, 0), (SUPPLY, 1), (PRICE, 0)))
_WORTH = Need(((CAP, 0), (REALIZED, 0)), instead=(REALIZED, "mvrv_provider"))

DERIVED = (
    Derived("nvt_ratio", "ratio", "market_cap_usd / transfer_volume_usd of the day.", (CAP, TRANSFER), lower=0),
    Derived("mvrv_ratio", "ratio", "market_cap_usd / realized_cap_usd; mvrv_provider where that is not given.", (CAP, REALIZED),
            (_WORTH,), lower=0),
    Derived("avg_transaction_value_usd", "USD", "transfer_volume_usd / transaction_count.", (TRANSFER, COUNT), lower=0),
    Derived("price_volatility_7d", "per day", "Sample std of the last 7 daily log returns of price_usd.", (PRICE,), (_every(PRICE, 8),), lower=0),
    Derived("price_volatility_30d", "per day", "Sample std of the last 30 daily log returns of price_usd.", (PRICE,), (_every(PRICE, 31),), lower=0),
    Derived("active_addresses_change_7d", "fraction", "active_addresses against 7 days before, simple.", (ADDRESSES,), ends((ADDRESSES,), 7), lower=-1),
    Derived("active_addresses_zscore_30d", "sigma", "z-score over the last 30 days incl. today, ddof 1.", (ADDRESSES,), (_every(ADDRESSES, 30),)),
    Derived("transaction_count_change_7d", "fraction", "transaction_count against 7 days before, simple.", (COUNT,), ends((COUNT,), 7), lower=-1),
    Derived("transaction_count_zscore_30d", "sigma", "z-score over the last 30 days incl. today, ddof 1.", (COUNT,), (_every(COUNT, 30),)),
    Derived("transfer_volume_change_7d", "fraction", "transfer_volume_usd against 7 days before, simple.", (TRANSFER,), ends((TRANSFER,), 7), lower=-1),
    Derived("transfer_volume_zscore_30d", "sigma", "z-score over the last 30 days incl. today, ddof 1.", (TRANSFER,), (_every(TRANSFER, 30),)),
    Derived("transactions_per_address", "ratio", "transaction_count / active_addresses.", (COUNT, ADDRESSES), lower=0),
    Derived("nvt_signal_90d", "ratio", "market_cap_usd / mean transfer_volume_usd of the last 90 days.", (CAP, TRANSFER),
            (_of_day(CAP), _every(TRANSFER, 90)), lower=0, reference="Kalichkin 2018"),
    Derived("nupl", "fraction", "1 - 1 / mvrv_ratio: net unrealised profit or loss as a share of market cap; null where MVRV is 0 or less.",
            (CAP, REALIZED), (_WORTH,), upper=1, reference="Adamant Capital 2019"),
    Derived("mvrv_zscore_365d", "sigma", "(market_cap_usd - realized_cap_usd) / sample std of market_cap_usd over 365 days; the original's std is since the first day.",
            (CAP, REALIZED), (_of_day(CAP, REALIZED), Need(((CAP, 0),), LONG_DAYS, LONG_LEAST)), reference="Mahmudov and Puell 2018"),
    Derived("issuance_usd", "USD", "(supply_current - that of the day before) x price_usd; null where supply fell.", (SUPPLY, PRICE), (_ISSUED,), lower=0,
            coins=Coins.MINED),
    Derived("puell_multiple_365d", "ratio", "issuance_usd / its mean over 365 days.", (SUPPLY, PRICE),
            (_ISSUED, Need(_ISSUED.cells, LONG_DAYS, LONG_LEAST)), lower=0,
            coins=Coins.MINED, reference="Puell 2019"),
    Derived("fee_share", "fraction", "fees_usd / (fees_usd + issuance_usd): fees in the miners' revenue.", (FEES, SUPPLY, PRICE),
            (_of_day(FEES), _ISSUED), lower=0, upper=1,
            coins=Coins.MINED),
    Derived("fee_per_transaction_usd", "USD", "fees_usd / transaction_count.", (FEES, COUNT), lower=0),
    Derived("hash_ribbon_30d_60d", "fraction", "Mean hash_rate of 30 days / mean of 60 days - 1; below 0: miners give up.", (HASHES,),
            (_every(HASHES, 60),), lower=-1,
            coins=Coins.MINED, reference="Edwards 2019 (hash ribbons)"),
    Derived("hash_rate_change_30d", "fraction", "hash_rate against 30 days before, simple.", (HASHES,), ends((HASHES,), 30), lower=-1, coins=Coins.MINED),
    Derived("difficulty_change_30d", "fraction", "difficulty against 30 days before, simple.", (DIFFICULTY,), ends((DIFFICULTY,), 30), lower=-1, coins=Coins.MINED),
    Derived("supply_growth_30d", "fraction", "supply_current against 30 days before, simple.", (SUPPLY,), ends((SUPPLY,), 30), lower=-1),
    Derived("velocity_30d", "ratio", "transfer_volume_native summed over 30 days / supply_current.", (NATIVE, SUPPLY),
            (_every(NATIVE, 30), _of_day(SUPPLY)), lower=0),
    Derived("net_exchange_flow_usd", "USD", "exchange_inflow_usd - exchange_outflow_usd.", (INFLOW, OUTFLOW)),
    Derived("exchange_inflow_zscore_30d", "sigma", "z-score of exchange_inflow_usd over the last 30 days incl. today, ddof 1.", (INFLOW,), (_every(INFLOW, 30),)),
)  # fmt: skip
DERIVED_BY_NAME = {column.name: column for column in DERIVED}
LOOKBACK_DAYS = max(column.days for column in DERIVED) - 1  # of onchain_enhanced over onchain_base


def _looked_up(
    name: str, table: str, column: str, unit: str, lower: float | None = 0, coins: Coins = Coins.ONCHAIN
) -> Feature:
    derived = DERIVED_BY_NAME.get(column) if table == ENHANCED else None
    return Feature(
        name, unit, f"{table}.{column} of the newest day known.", (f"{table}.{column}",), stale=DAILY_STALENESS,
        coins=derived.coins if derived else coins, lower=derived.lower if derived else lower,
        upper=derived.upper if derived else None,
    )  # fmt: skip


_TEN = (
    _looked_up("transaction_count_24h", BASE, COUNT, "transactions"),
    _looked_up("onchain_market_cap_usd", BASE, CAP, "USD"),
    _looked_up("onchain_volume_24h", BASE, TRANSFER, "USD"),
    _looked_up("onchain_price_volatility_7d", ENHANCED, "price_volatility_7d", "per day"),
    _looked_up("onchain_active_addresses", BASE, ADDRESSES, "addresses"),
    _looked_up("onchain_transaction_volume", BASE, NATIVE, "native units"),
    _looked_up("onchain_avg_transaction_value", ENHANCED, "avg_transaction_value_usd", "USD"),
    _looked_up("onchain_nvt_ratio", ENHANCED, "nvt_ratio", "ratio"),
    _looked_up("onchain_mvrv_ratio", ENHANCED, "mvrv_ratio", "ratio"),
    _looked_up("onchain_whale_transactions", BASE, "transfers_above_1m_usd", "transfers"),
)  # fmt: skip
_NAMED = {"nvt_ratio", "mvrv_ratio", "avg_transaction_value_usd", "price_volatility_7d"}  # already in ``_TEN``
_MORE = (
    _looked_up("onchain_realized_cap_usd", BASE, REALIZED, "USD"),
    _looked_up("onchain_supply_current", BASE, SUPPLY, "native units"),
    _looked_up("onchain_fees_usd", BASE, FEES, "USD"),
    _looked_up("onchain_hash_rate", BASE, HASHES, "TH/s", coins=Coins.MINED),
    *(
        _looked_up(f"onchain_{column.name}", ENHANCED, column.name, column.unit)
        for column in DERIVED
        if column.name not in _NAMED
    ),
)

ONCHAIN_FEATURES = (*_TEN, *_MORE)
