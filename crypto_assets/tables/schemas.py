"""Every table's contract by its name, for code that reads or writes one table.

The contracts are declared with all else about their tables in the files of the groups (``prices.py``, ``universe.py``, ``derivatives.py``,
``onchain.py``, ``network.py``, ``context.py``, ``macro.py``, ``news.py``, ``ml.py``, ``models.py``, ``operations.py``). Code about many tables reads ``registry.py``.
"""

from crypto_assets.tables.context import COMMUNITY_LAG as COMMUNITY_LAG
from crypto_assets.tables.context import DEFI_METRICS as DEFI_METRICS
from crypto_assets.tables.context import DEFI_PROTOCOLS as DEFI_PROTOCOLS
from crypto_assets.tables.context import DEFI_YIELDS as DEFI_YIELDS
from crypto_assets.tables.context import DEFILLAMA_LAG as DEFILLAMA_LAG
from crypto_assets.tables.context import DEVELOPER_ACTIVITY as DEVELOPER_ACTIVITY
from crypto_assets.tables.context import FEAR_GREED_LAG as FEAR_GREED_LAG
from crypto_assets.tables.context import MARKET_SENTIMENT as MARKET_SENTIMENT
from crypto_assets.tables.context import SOCIAL_METRICS as SOCIAL_METRICS
from crypto_assets.tables.derivatives import FUNDING_RATES as FUNDING_RATES
from crypto_assets.tables.derivatives import IMPLIED_VOLATILITY as IMPLIED_VOLATILITY
from crypto_assets.tables.derivatives import OPEN_INTEREST as OPEN_INTEREST
from crypto_assets.tables.derivatives import PERPETUAL_BARS as PERPETUAL_BARS
from crypto_assets.tables.digests import THEME_DIGESTS as THEME_DIGESTS
from crypto_assets.tables.event_narratives import EVENT_NARRATIVES as EVENT_NARRATIVES
from crypto_assets.tables.macro import MACRO_INDICATORS as MACRO_INDICATORS
from crypto_assets.tables.macro import MACRO_SERIES as MACRO_SERIES
from crypto_assets.tables.ml import ML_FEATURES as ML_FEATURES
from crypto_assets.tables.ml import TEN_ONCHAIN_FIELDS as TEN_ONCHAIN_FIELDS
from crypto_assets.tables.models import MODEL_TRIALS as MODEL_TRIALS
from crypto_assets.tables.models import PREDICTIONS as PREDICTIONS
from crypto_assets.tables.models import SIGNALS as SIGNALS
from crypto_assets.tables.models import TRAINED_MODELS as TRAINED_MODELS
from crypto_assets.tables.network import NETWORK_METRICS as NETWORK_METRICS
from crypto_assets.tables.news import ARTICLE_NARRATIVES as ARTICLE_NARRATIVES
from crypto_assets.tables.news import NARRATIVES as NARRATIVES
from crypto_assets.tables.news import NEWS_ARTICLES as NEWS_ARTICLES
from crypto_assets.tables.news import THEME_TRENDS as THEME_TRENDS
from crypto_assets.tables.news import THEMES as THEMES
from crypto_assets.tables.onchain import COINMETRICS_LAG as COINMETRICS_LAG
from crypto_assets.tables.onchain import COINMETRICS_METRICS as COINMETRICS_METRICS
from crypto_assets.tables.onchain import COINMETRICS_PAID as COINMETRICS_PAID
from crypto_assets.tables.onchain import COINMETRICS_PLAUSIBLE as COINMETRICS_PLAUSIBLE
from crypto_assets.tables.onchain import ONCHAIN_BASE as ONCHAIN_BASE
from crypto_assets.tables.onchain import ONCHAIN_ENHANCED as ONCHAIN_ENHANCED
from crypto_assets.tables.operations import API_USAGE as API_USAGE
from crypto_assets.tables.operations import FRESHNESS_OBSERVATIONS as FRESHNESS_OBSERVATIONS
from crypto_assets.tables.operations import HISTORY_REPORT as HISTORY_REPORT
from crypto_assets.tables.operations import QUARANTINE as QUARANTINE
from crypto_assets.tables.operations import SET_ASIDE as SET_ASIDE
from crypto_assets.tables.operations import SLO_REPORT as SLO_REPORT
from crypto_assets.tables.prices import DERIVATIVES as DERIVATIVES
from crypto_assets.tables.prices import KRAKEN_OHLC as KRAKEN_OHLC
from crypto_assets.tables.prices import OHLC as OHLC
from crypto_assets.tables.prices import PRICES as PRICES
from crypto_assets.tables.registry import CONTRACTS as CONTRACTS
from crypto_assets.tables.shared_columns import DECISION_DELAY as DECISION_DELAY
from crypto_assets.tables.social import SOCIAL_POSTS as SOCIAL_POSTS
from crypto_assets.tables.social import SOCIAL_SENTIMENT as SOCIAL_SENTIMENT
from crypto_assets.tables.universe import UNIVERSE as UNIVERSE
