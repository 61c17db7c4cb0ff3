"""What a model is: its kind, horizon, window, parameters, and the hash that names exactly this."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from crypto_assets.errors import ModelError

KINDS = {
    "ridge": "linear regression on ranks with a penalty on the square of the coefficients: the baseline to beat",
    "lightgbm": "gradient boosted trees, regression on the rank of the forward return within its hour",
    "lambdarank": "gradient boosted trees that learn the order within the hour",
    "barrier": "gradient boosted trees that classify which barrier is touched first",
    "ensemble": "the mean of the ranks of ridge and lightgbm",
}
TREES = ("lightgbm", "lambdarank", "barrier")  # kinds that can read features which all coins of an hour share
RULES = {
    "momentum": ("return_7d", 1.0),
    "reversal": ("return_24h", -1.0),
    "low_volatility": ("volatility_7d", -1.0),
    "low_beta": ("beta_btc_30d", -1.0),
}


@dataclass(frozen=True)
class ModelConfig:
    """A model that can be trained each month.

    Attributes:
        name: of the model in tables and commands.
        kind: one of ``KINDS``, or of ``RULES`` for a rule of one feature that needs no training.
        horizon_hours: how far its label looks ahead.
        window_days: length of the training window; 0: all that is known.
        embargo_hours: time between the last label of the training and the first prediction.
        sample_hours: it learns from every n-th hour, counted in UTC. Labels of neighbouring hours overlap, so that few
            hours tell nearly as much; a number that does not divide 24 meets every hour of the day.
        least_rows: labelled rows below which no training takes place.
        least_known: share of the training rows in which a feature must be known to be used.
        features: columns of ``ml_features``, and the market's state, that it may use; empty: all.
        allow_backfilled: whether features stay that rest on rows which their provider may have revised.
        market_features: whether trees also read features that all coins of an hour share, as they are: a tree can split by
            them and then by a feature of the coin. Other kinds never read them: within an hour they order nothing.
        market_days: days of training rows below which trees leave them out: a short window holds few states of the market,
            and a tree would learn its weeks by heart.
        parameters: of the learner; unknown names are refused.
    """

    name: str
    kind: str
    horizon_hours: int = 24
    window_days: int = 730
    embargo_hours: int = 0
    sample_hours: int = 1
    least_rows: int = 1000
    least_known: float = 0.5
    features: tuple[str, ...] = ()
    allow_backfilled: bool = False
    market_features: bool = True
    market_days: int = 120
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a kind, a span or a parameter that does not exist."""
        if self.kind not in KINDS | RULES:
            raise ModelError(f"model {self.name!r} has kind {self.kind!r}{suggestion(self.kind, KINDS | RULES)}")
        known = DEFAULTS.get(self.kind, {})
        object.__setattr__(self, "features", tuple(self.features))
        for name in self.parameters:
            if name not in known:
                raise ModelError(f"model {self.name!r} has parameter {name!r}{suggestion(name, known)}")
        if min(self.horizon_hours, self.sample_hours) < 1 or self.window_days < 0 or self.embargo_hours < 0:
            raise ModelError(
                f"model {self.name!r}: a horizon is one hour or more, as is sample_hours, and spans are not negative"
            )

    @classmethod
    def parse(cls, text: Mapping[str, Any]) -> ModelConfig:
        """Read a configuration from JSON or TOML values.

        Raises:
            ModelError: a key that does not exist, or a missing one.
        """
        names = [item.name for item in fields(cls)]
        for key in text:
            if key not in names:
                raise ModelError(f"a model has no setting {key!r}{suggestion(key, names)}")
        try:
            return cls(**text)
        except TypeError as error:
            raise ModelError(f"a model's settings are incomplete: {error}") from error

    def reads_market(self, days: float) -> bool:
        """Whether it reads features that all coins of an hour share.

        Args:
            days: from the first to the last training row.
        """
        return self.market_features and self.kind in TREES and days >= self.market_days

    @property
    def overlapping(self) -> int:
        """How many sampled hours in a row have labels that overlap: the horizon in sampled hours, rounded up."""
        return -(-self.horizon_hours // self.sample_hours)

    @property
    def all_parameters(self) -> dict[str, Any]:
        """The learner's parameters, defaults included."""
        return DEFAULTS.get(self.kind, {}) | dict(self.parameters)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that change the model as JSON values, defaults included.

        The number of threads changes none, and the settings of market features change trees only.
        """
        parameters = {name: value for name, value in self.all_parameters.items() if name != "threads"}
        found = asdict(self) | {"features": list(self.features), "parameters": parameters}
        if self.kind not in TREES:
            del found["market_features"], found["market_days"]
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of all settings."""
        return digest(self.settings)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value as canonical JSON: sorted keys, no blanks."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def suggestion(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Return the end of a sentence that names the nearest known name, or all."""
    near = difflib.get_close_matches(name, list(known), 1)
    return (
        f", which does not exist; did you mean {near[0]!r}?" if near else f", which does not exist: {', '.join(known)}"
    )


_TREES = {
    "trees": 300,
    "leaves": 31,
    "learning_rate": 0.05,
    "least_rows_a_leaf": 200,
    "feature_fraction": 0.7,
    "row_fraction": 0.7,
    "l2": 1.0,
    "seed": 7,
    "threads": 2,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "ridge": {"penalty": 0.01},
    "lightgbm": _TREES,
    "lambdarank": _TREES | {"grades": 10},
    "barrier": _TREES,
    "ensemble": _TREES | {"penalty": 0.01},
}

DEFAULT_MODELS = (
    ModelConfig("ridge", "ridge", sample_hours=5),
    ModelConfig("lightgbm", "lightgbm", sample_hours=5),
)
# A demo's generated market holds no edge: small trees show the work, and its reader does not wait for large ones.
DEMO_MODELS = (
    ModelConfig("ridge", "ridge", window_days=90, sample_hours=5),
    ModelConfig("lightgbm", "lightgbm", window_days=90, sample_hours=5, parameters={"trees": 50, "leaves": 15}),
)


def parse_models(text: str, where: str) -> tuple[ModelConfig, ...]:
    """Read the models of a TOML file: one table ``[[model]]`` for each, with the settings of :class:`ModelConfig`.

    Args:
        text: of the file.
        where: its name, for errors.

    Raises:
        ModelError: it is no TOML, a setting does not exist, or two models have one name.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{where} is no TOML ({error}): correct it; nothing was trained") from error
    for key in found:
        if key != "model":
            raise ModelError(f"{where} has {key!r}{suggestion(key, ['model'])}; write [[model]] for each model")
    models = tuple(ModelConfig.parse(one) for one in found.get("model", []))
    names = [model.name for model in models]
    if not models or len(set(names)) < len(names):
        raise ModelError(
            f"{where} names {', '.join(names) or 'no model'}: give one or more [[model]], each its own name"
        )
    return models
