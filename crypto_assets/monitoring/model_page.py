"""The model report as one HTML page, by the template of the quality report.

This module decides what the page says. A model that does not beat the best single feature after costs stands in red.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from crypto_assets.checks.model_drift import Drift
from crypto_assets.models.evaluation import Evaluation
from crypto_assets.monitoring import svg_charts as draw
from crypto_assets.monitoring.model_proofs import VERDICT, Proof
from crypto_assets.monitoring.model_quality import GENERATED, UNIVERSE, ModelQuality
from crypto_assets.monitoring.page import Body, Card, Cell, Table, Tile, document

SHOWN_COINS, SHOWN_FEATURES = 60, 15
HOLD = "equal-weight hold"


def render(found: ModelQuality, proved: Sequence[Proof], drift: Sequence[Drift]) -> str:
    """Render the report as one HTML document.

    Args:
        found: the judged models.
        proved: the proofs.
        drift: how far each model is from its training.
    """
    judged = [*found.comparison.models, *found.comparison.features]
    cards = [
        Card("Models beside one-line rules", "How well scores order the forward returns of an hour's coins. Red: does not beat the best single feature after costs.", _order(found), wide=True),
        Card("Portfolios after costs", "The portfolio of the documented rule by each score: fee, half-spread, impact and funding are charged.", _earned(found), wide=True),
        Card("Rank IC by day", "Mean of the hours' Spearman correlations of score and forward return.", _days(found.comparison.models), wide=False),
        Card("Value after costs", "Sum of daily returns, fractions of the capital.", _course(judged), wide=False),
        Card("Decay by horizon", "Rank IC with the return over the next 1 hour to 7 days.", _horizons(judged), wide=False),
        Card("Return by fifth of the score", "Mean forward return of the lowest (1) to the highest (5) fifth of each hour's scores.", _quantiles(found.comparison.models), wide=False),
        Card("Luck", "How much of the best result may be chance.", _luck(found), wide=False),
        Card("By regime", "States of the market as known at each hour.", _regimes(found.comparison.models), wide=False),
        Card("Proofs against fooling oneself", "Carried out on the stored rows of the newest training.", _proofs(proved), wide=True),
        Card("Drift", "Of the newest days against the training.", _drift(drift), wide=True),
        Card("By month", "", _months(found.comparison.models), wide=True),
        Card("By coin", "Correlation over time of the coin's ranks of score and return within the hour.", _coins(found.comparison.models), wide=False),
        Card("Single features", f"The {SHOWN_FEATURES} strongest of those that the models read, at hours whose labels do not overlap.", _features(found), wide=False),
        Card("Trainings", "Each model predicts from the day after its month began.", _trainings(found), wide=True),
    ]  # fmt: skip
    return document(
        "Models", "predictions judged", notices=_notices(found, proved), found=_Page(found), tiles=_tiles(found), cards=cards,
        footer=f"{UNIVERSE} Past figures promise nothing; no order is placed and no advice is given.",
    )  # fmt: skip


class _Page:
    """What the template reads of a report: this one has no unreadable tables, failed partitions or incidents to list."""

    def __init__(self, found: ModelQuality) -> None:
        self.made_at, self.start, self.end = found.made_at, found.start, found.end
        self.not_readable, self.failed, self.incidents = (), (), ()


def _notices(found: ModelQuality, proved: Sequence[Proof]) -> dict[str, list[str]]:
    """Return what stands in red above everything else."""
    beaten = [verdict.sentence + "." for verdict in found.comparison.verdicts if verdict.beats is False]
    broken = [f"{proof.name}: {proof.sentence}." for proof in proved if proof.holds is False and proof.name != VERDICT]
    failed = [
        f"{model} {day:%Y-%m}: {reason}."
        for day, model, reason in found.failed.select("date", "model", "reason").rows()
    ]
    every = {
        "Generated market": [GENERATED] if found.generated else [],
        "A one-line rule does as well": beaten,
        "Proofs that do not hold": broken,
        "Trainings that failed": failed,
    }
    return {title: lines for title, lines in every.items() if lines}


def _tiles(found: ModelQuality) -> list[Tile]:
    best = found.comparison.best_model
    verdict = next((one for one in found.comparison.verdicts if best is not None and one.model == best.name), None)
    over = found.comparison.overfitting
    if best is None or verdict is None:
        return [Tile("Models judged", "none has a rank IC yet", "warn")]
    beats = "not known" if verdict.beats is None else "yes" if verdict.beats else "no"
    state = "none" if verdict.beats is None else "good" if verdict.beats else "bad"
    return [
        Tile(f"Rank IC, {best.name}", _number(best.figures["rank_ic"], 3), "none"),
        Tile("t, Newey-West", _number(best.figures["t_newey_west"], 1), "none"),
        Tile("Beats the best single feature", beats, state),
        Tile("Sharpe a year after costs", _number(best.figures["sharpe_a_year"], 2), "bad" if best.figures["net_a_year"] < 0 else "none"),
        Tile("Deflated Sharpe probability", _percent(verdict.deflated), "none" if math.isnan(verdict.deflated) else "good" if verdict.deflated >= 0.95 else "warn"),
        Tile("Probability of overfitting", "–" if over is None else f"{over.probability:.0%}", "none" if over is None else "good" if over.probability < 0.5 else "bad"),
        Tile("Trials ever made", f"{found.comparison.trials:,}", "none"),
    ]  # fmt: skip


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}%}"


Columns = Sequence[tuple[str, str, Callable[[float], str]]]
_ORDER: Columns = (
    ("rank IC", "rank_ic", lambda value: _number(value, 4)),
    ("ICIR", "rank_icir", lambda value: _number(value, 3)),
    ("t NW", "t_newey_west", lambda value: _number(value, 1)),
    ("t apart", "t_non_overlapping", lambda value: _number(value, 1)),
    ("IC", "ic", lambda value: _number(value, 4)),
    ("coins", "coins", lambda value: _number(value, 1)),
    ("spread", "quantile_spread", lambda value: _percent(value, 2)),
)
_EARNINGS: Columns = (
    ("gross a year", "gross_a_year", _percent),
    ("costs", "cost_a_year", _percent),
    ("funding", "funding_a_year", _percent),
    ("net a year", "net_a_year", _percent),
    ("Sharpe a day", "sharpe_a_day", lambda value: _number(value, 3)),
    ("a year", "sharpe_a_year", lambda value: _number(value, 2)),
    ("drawdown", "drawdown", _percent),
    ("turnover a day", "turnover_a_day", lambda value: _number(value, 2)),
    ("break-even", "break_even_cost", lambda value: _percent(value, 3)),
)


def _order(found: ModelQuality) -> Body:
    return Body(table=_side_by_side(found, _ORDER))


def _earned(found: ModelQuality) -> Body:
    table = _side_by_side(found, _EARNINGS)
    hold = found.comparison.hold
    rows = [*table.rows, [HOLD, *(show(hold[name]) for _, name, show in _EARNINGS)]]
    method = next(iter(found.methods.values()))
    costs = method.costs
    note = (
        f"Costs: fee {costs.fee:.2%} and half-spread {costs.half_spread:.2%} of each trade, impact {costs.impact:g} × √(share of the "
        f"hour's volume) with a capital of {costs.capital_usd:,.0f} USD; funding of perpetuals is "
        f"{'charged' if method.perpetuals else 'not charged'}. Trades follow the decision by {method.delay} h."
    )
    return Body(table=Table(table.head, rows), note=note)


def _side_by_side(found: ModelQuality, columns: Columns) -> Table:
    """Return models and single features in rows; a model that does not beat the best single feature is red."""
    beaten = {verdict.model for verdict in found.comparison.verdicts if verdict.beats is False}
    rows: list[list[str | Cell]] = []
    for one in (*found.comparison.models, *found.comparison.features):
        shown = [show(one.figures[name]) for _, name, show in columns]
        cells: list[str | Cell] = [Cell(text, "bad") for text in shown] if one.name in beaten else [*shown]
        rows.append([one.name, *cells])
    return Table(["", *(title for title, *_ in columns)], rows)


def _days(models: Sequence[Evaluation]) -> Body:
    series = {
        one.name: (one.by_day["date"].to_list(), one.by_day["rank_ic"].to_list()) for one in models if one.by_day.height
    }
    if not series:
        return Body(
            missing="No hour has a rank IC yet: the labels are not known, or an hour has fewer than five coins."
        )
    return Body(picture=draw.curves("Rank IC by day", series))


def _course(judged: Sequence[Evaluation]) -> Body:
    series = {
        one.name: (one.daily["date"].to_list(), one.daily["net"].cum_sum().to_list())
        for one in judged
        if one.daily.height
    }
    if not series:
        return Body(missing="No day has a portfolio yet.")
    return Body(picture=draw.curves("Value after costs", series, unit="%", size=(5.4, 2.9)))


def _horizons(judged: Sequence[Evaluation]) -> Body:
    known = [one for one in judged if one.by_horizon["rank_ic"].drop_nulls().len()]
    if not known:
        return Body(missing="No horizon is over yet.")
    marks = known[0].by_horizon["horizon"].to_list()
    series = {one.name: (marks, one.by_horizon["rank_ic"].to_list()) for one in known}
    head = ["", *(f"{mark} h" for mark in marks)]
    rows = [[one.name, *(_number(value, 4) for value in one.by_horizon["rank_ic"])] for one in known]
    picture = draw.curves("Rank IC by horizon in hours", series, marks=marks, size=(5.4, 2.9))
    return Body(picture=picture, table=Table(head, rows), folded="The numbers")


def _quantiles(models: Sequence[Evaluation]) -> Body:
    rows = [[one.name, *(_percent(value, 3) for value in one.by_quantile["outcome"])] for one in models]
    return Body(table=Table(["", "1", "2", "3", "4", "5"], rows))


def _luck(found: ModelQuality) -> Body:
    rows: list[list[str | Cell]] = [
        [one.model, Cell(_percent(one.deflated), "good" if one.deflated >= 0.95 else "warn"), one.best or "–",
         Cell("–" if one.beats is None else "yes" if one.beats else "no", "good" if one.beats else "bad")]
        for one in found.comparison.verdicts
    ]  # fmt: skip
    over = found.comparison.overfitting
    said = (
        "The probability of overfitting needs 60 days."
        if over is None
        else f"Probability of backtest overfitting {over.probability:.0%} over {over.logits.size:,} splits: how often the best "
        "in one half of the days is below the median in the other."
    )
    note = f"{found.comparison.trials:,} trials count: every training ever recorded, failed ones included, and the rules. {said}"
    return Body(table=Table(["model", "deflated Sharpe", "best single feature", "beaten"], rows), note=note)


def _regimes(models: Sequence[Evaluation]) -> Body:
    rows: list[list[str | Cell]] = [
        [f"{one.name}, {name}", f"{hours:,}", _number(rank_ic, 4), _number(t, 1)]
        for one in models
        for name, hours, rank_ic, t in one.by_regime.rows()
    ]
    if not rows:
        return Body(missing="The prices do not reach back far enough: regimes need 30 days before the range.")
    return Body(table=Table(["", "hours", "rank IC", "t NW"], rows))


def _proofs(proved: Sequence[Proof]) -> Body:
    if not proved:
        return Body(missing="Not carried out.")
    states = {True: Cell("holds", "good"), False: Cell("fails", "bad"), None: Cell("not judged", "warn")}
    rows: list[list[str | Cell]] = [
        [proof.name.replace("_", " "), states[proof.holds], Cell(proof.sentence, "said")] for proof in proved
    ]
    return Body(table=Table(["proof", "", ""], rows))


def _drift(drift: Sequence[Drift]) -> Body:
    if not drift:
        return Body(missing="No model serves, or no day was predicted yet.")
    rows: list[list[str | Cell]] = [
        [one.model, Cell(_number(one.rank_ic, 4), "bad" if one.below_band else "none"), f"{_number(one.low, 4)} to {_number(one.high, 4)}",
         f"{len(one.moved)}", Cell(", ".join(one.moved[:5]), "said"), f"{len(one.missing)}", Cell(", ".join(one.missing[:5]), "said"), _percent(one.scored)]
        for one in drift
    ]  # fmt: skip
    head = [
        "model",
        "rank IC, 30 days",
        "band out of fold",
        "PSI above 0.25",
        "",
        "missing more",
        "",
        "universe scored",
    ]
    return Body(table=Table(head, rows))


def _months(models: Sequence[Evaluation]) -> Body:
    rows = [
        [
            f"{month:%Y-%m}",
            one.name,
            f"{hours:,}",
            _number(coins, 1),
            _number(ic, 4),
            _number(rank_ic, 4),
            _number(t, 1),
        ]
        for one in models
        for month, hours, coins, ic, rank_ic, t in one.by_month.rows()
    ]
    if not rows:
        return Body(missing="No month has an hour with a rank IC.")
    return Body(table=Table(["month", "model", "hours", "coins", "IC", "rank IC", "t NW"], sorted(rows)))


def _coins(models: Sequence[Evaluation]) -> Body:
    found: dict[str, list[str]] = {}
    for place, one in enumerate(models):
        for symbol, _, rank_ic in one.by_coin.rows():
            found.setdefault(symbol, ["–"] * len(models))[place] = _number(rank_ic, 3)
    rows = [[symbol, *cells] for symbol, cells in sorted(found.items())[:SHOWN_COINS]]
    if not rows:
        return Body(missing="No coin was judged.")
    return Body(table=Table(["coin", *(one.name for one in models)], rows), folded="The numbers")


def _features(found: ModelQuality) -> Body:
    strongest = found.coefficients.filter(found.coefficients["rank_ic"].is_not_null()).head(SHOWN_FEATURES)
    rows: list[list[str | Cell]] = []
    for feature, samples, rank_ic, t in strongest.rows():
        shown = _number(rank_ic, 4)
        rows.append(
            [feature, f"{samples:,}", Cell(shown, "bad") if feature in found.suspects else shown, _number(t, 1)]
        )
    if not rows:
        return Body(missing="No feature has a rank IC: the labels are not known yet.")
    return Body(
        table=Table(["feature", "days", "rank IC", "t"], rows),
        note="Red: it orders what follows better than a feature can.",
    )


def _trainings(found: ModelQuality) -> Body:
    rows = [
        [f"{row['date']:%Y-%m}", row["model"], row["model_id"][:12], f"{row['rows']:,}", f"{row['coins']}", f"{len(row['features'])}",
         f"{row['trained_until']:%Y-%m-%d %H:%M}", _number(row["in_sample_rank_ic"], 3), _number(row["out_of_fold_rank_ic"], 3)]
        for row in found.trainings.iter_rows(named=True)
    ]  # fmt: skip
    head = ["month", "model", "id", "rows", "coins", "features", "trained until", "in sample", "out of fold"]
    return Body(table=Table(head, rows), folded=f"The {len(rows)} trainings")
