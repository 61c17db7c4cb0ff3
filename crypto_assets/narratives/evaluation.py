"""Measure the analysis of news against labels: tone, themes, coins and pairs of the same story, with intervals."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crypto_assets.catalog import all_coins, by_symbol
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.narratives import boilerplate, events, lexicon
from crypto_assets.narratives.mentions import find_symbols
from crypto_assets.narratives.tone import CLASSES, tone_class
from crypto_assets.tables.news import THEMES

Z = 1.959964  # of a 95 % interval
RESAMPLES = 1000
SEED = 7
LABELS = ("sentiment", "theme", "symbols", "story")
_FIRST = datetime(2024, 1, 1, tzinfo=timezone.utc)  # files of labels have no times; stories compare by order


@dataclass(frozen=True)
class Labelled:
    """One line of a file of labels; None where a label is not given."""

    title: str
    summary: str
    sentiment: int | None
    themes: tuple[str, ...] | None  # the right one first, then others that a reader accepts
    symbols: frozenset[str] | None
    story: str | None


def read_labels(path: Path) -> tuple[list[Labelled], tuple[str, ...]]:
    """Read a file of labels.

    Args:
        path: a CSV file, UTF-8, with the column ``title`` and any of ``summary`` and ``LABELS``. ``sentiment`` is -1, 0
            or 1; ``theme`` a name, or several with a vertical bar between, the right one first; ``symbols`` coins with
            a vertical bar between, empty where the text names none; ``story`` any name that articles of one story
            share. Empty cells of the other columns are no labels.

    Returns:
        The lines, and the labels that the file has.

    Raises:
        CryptoAssetsError: the file cannot be read, lacks a column, or has a label that is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            columns = tuple(name.strip() for name in reader.fieldnames or ())
            given = tuple(name for name in LABELS if name in columns)
            _check_columns(path, columns, given)
            reader.fieldnames = columns
            rows = [_labelled(path, reader.line_num, cells, given) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CryptoAssetsError(f"{path} cannot be read ({error}); give a CSV file in UTF-8 with --labels") from error
    if not rows:
        raise CryptoAssetsError(f"{path} has no line below its header; give a file with labelled titles")
    return rows, given


def _check_columns(path: Path, columns: Sequence[str], given: Sequence[str]) -> None:
    found = ", ".join(columns) or "nothing"
    if "title" not in columns:
        raise CryptoAssetsError(
            f"{path} has no column title in its first line (it has {found}); name the columns there"
        )
    if not given:
        raise CryptoAssetsError(f"{path} has no labels (it has {found}); add one of the columns {', '.join(LABELS)}")
    if repeated := [name for name, count in Counter(columns).items() if count > 1]:
        raise CryptoAssetsError(f"{path} has the column {repeated[0]} twice; keep one")


def _labelled(path: Path, line: int, cells: Mapping[str, Any], given: Sequence[str]) -> Labelled:
    if None in cells or None in cells.values():
        raise CryptoAssetsError(
            f"{path}, line {line}: not as many cells as the first line has; quote cells with commas"
        )
    cell = {name: value.strip() for name, value in cells.items()}

    def refuse(name: str, wanted: str) -> CryptoAssetsError:
        return CryptoAssetsError(f"{path}, line {line}: {name} is {cell[name][:60]!r}; it must be {wanted}")

    if not cell["title"]:
        raise refuse("title", "a text")
    sentiment = None
    if cell.get("sentiment"):
        if cell["sentiment"] not in _SENTIMENTS:
            raise refuse("sentiment", "-1, 0 or 1")
        sentiment = _SENTIMENTS[cell["sentiment"]]
    themes = tuple(name.strip() for name in cell.get("theme", "").split("|") if name.strip())
    if not set(themes) <= set(THEMES):
        raise refuse("theme", f"of {', '.join(THEMES)}")
    symbols = frozenset(name.strip().upper() for name in cell.get("symbols", "").split("|") if name.strip())
    if not symbols <= set(by_symbol()):
        raise refuse("symbols", "symbols of the catalogue with a vertical bar between")
    return Labelled(
        cell["title"], cell.get("summary", ""), sentiment, themes or None,
        symbols if "symbols" in given else None, cell.get("story") or None,
    )  # fmt: skip


_SENTIMENTS = {text: value for value in CLASSES for text in (str(value), f"{value}.0", f"+{value}")}


def evaluate(rows: Sequence[Labelled], given: Sequence[str]) -> dict[str, Any]:
    """Analyse labelled articles and compare.

    Args:
        rows: the articles.
        given: the labels that the file has.

    Returns:
        One JSON document: ``rows``, ``analyzer``, and one part for each label that is given.
    """
    texts = _clean(rows)
    coins = all_coins()
    named = [frozenset(find_symbols(". ".join(filter(None, text)), coins)) for text in texts]
    found = [lexicon.judge(*text, names_coin=bool(symbols)) for text, symbols in zip(texts, named, strict=True)]
    document: dict[str, Any] = {"rows": len(rows), "analyzer": lexicon.ANALYZER}
    if "sentiment" in given:
        pairs = [(n, row.sentiment) for n, row in enumerate(rows) if row.sentiment is not None]
        ours = [tone_class(found[n][1]) for n, _ in pairs]
        words = [tone_class(lexicon.word_tone(". ".join(filter(None, texts[n])))) for n, _ in pairs]
        document["sentiment"] = _sentiment(np.array([label for _, label in pairs], dtype=int), ours, words)
    if "theme" in given:
        document["theme"] = _themes([(row.themes, found[n][0]) for n, row in enumerate(rows) if row.themes])
    if "symbols" in given:
        document["symbols"] = _symbols(
            [(row.symbols or frozenset(), coin) for row, coin in zip(rows, named, strict=True)]
        )
    if "story" in given:
        document["story"] = _stories(rows, texts)
    return document


def _clean(rows: Sequence[Labelled]) -> list[tuple[str, str]]:
    """Return title and summary without what is boilerplate in any feed; a file of labels does not name feeds."""
    frame = pd.DataFrame(
        {"feed": [str(n) for n in range(len(rows))], "date": _FIRST.date(), "available_at": _FIRST,
         "title": [row.title for row in rows], "summary": [row.summary for row in rows]}
    )  # fmt: skip
    stripped = boilerplate.strip(frame)
    return [
        (title, summary or "")
        for title, summary in zip(stripped["clean_title"], stripped["clean_summary"], strict=True)
    ]


def share(right: int, of: int) -> dict[str, Any]:
    """Return a share with its 95 % interval (Wilson 1927); nulls where there is nothing to count."""
    if of == 0:
        return {"value": None, "low": None, "high": None, "right": 0, "of": 0}
    p = right / of
    middle, half = p + Z * Z / (2 * of), Z * math.sqrt(p * (1 - p) / of + Z * Z / (4 * of * of))
    low, high = (middle - half) / (1 + Z * Z / of), (middle + half) / (1 + Z * Z / of)
    return {
        "value": round(p, 4),
        "low": round(max(low, 0.0), 4),
        "high": round(min(high, 1.0), 4),
        "right": right,
        "of": of,
    }


def mcnemar(ours: Sequence[bool], theirs: Sequence[bool]) -> dict[str, Any]:
    """Compare two analysers on the same texts (McNemar 1947, exact).

    Args:
        ours: whether the one is right, by text.
        theirs: whether the other is.

    Returns:
        ``only_ours`` and ``only_theirs`` (texts that one alone has right) and the two-sided ``p``.
    """
    better = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    worse = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return {"only_ours": better, "only_theirs": worse, "p": min(1.0, 2 * tail / 2**n)}


def _sentiment(truth: np.ndarray, ours: Sequence[int], words: Sequence[int]) -> dict[str, Any]:
    found, alone = np.array(ours, dtype=int), np.array(words, dtype=int)
    toned = truth != 0
    return {
        "accuracy": share(int(np.sum(found == truth)), len(truth)),
        "macro_f1": _with_interval(lambda n: macro_f1(truth[n], found[n], CLASSES), len(truth)),
        "sign": share(int(np.sum(found[toned] == truth[toned])), int(toned.sum())),
        "confusion": {
            str(label): {str(said): int(np.sum((truth == label) & (found == said))) for said in CLASSES}
            for label in CLASSES
        },
        "lexicon_accuracy": share(int(np.sum(alone == truth)), len(truth)),
        "against_lexicon": mcnemar(list(found == truth), list(alone == truth)),
    }


def macro_f1(truth: np.ndarray, found: np.ndarray, classes: Sequence[Any]) -> float:
    """Return the mean F1 over the classes that occur in the labels or the answers."""
    scores = []
    for name in classes:
        labelled, said = truth == name, found == name
        if labelled.any() or said.any():
            scores.append(2 * np.sum(labelled & said) / (labelled.sum() + said.sum()))
    return float(np.mean(scores)) if scores else math.nan


def _with_interval(measure: Callable[[np.ndarray], float], size: int) -> dict[str, Any]:
    """Return a measure with its 95 % bootstrap interval over texts."""
    if size == 0:
        return {"value": None, "low": None, "high": None}
    draws = np.random.default_rng(SEED).integers(0, size, (RESAMPLES, size))
    low, high = np.quantile([measure(draw) for draw in draws], [0.025, 0.975])
    return {"value": round(measure(np.arange(size)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _themes(pairs: Sequence[tuple[tuple[str, ...], str]]) -> dict[str, Any]:
    truth, found = np.array([labels[0] for labels, _ in pairs]), np.array([said for _, said in pairs])
    confusion: dict[str, dict[str, int]] = {}
    for label, said in zip(truth, found, strict=True):
        row = confusion.setdefault(str(label), {})
        row[str(said)] = row.get(str(said), 0) + 1
    return {
        "exact": share(int(np.sum(truth == found)), len(pairs)),
        "acceptable": share(sum(said in labels for labels, said in pairs), len(pairs)),
        "macro_f1": _with_interval(lambda n: macro_f1(truth[n], found[n], THEMES), len(pairs)),
        "recall": {
            name: share(int(np.sum((truth == name) & (found == name))), int(np.sum(truth == name)))
            for name in THEMES
            if np.any(truth == name)
        },
        "confusion": confusion,
    }


def _symbols(pairs: Sequence[tuple[frozenset[str], frozenset[str]]]) -> dict[str, Any]:
    right = Counter(coin for wanted, found in pairs for coin in wanted & found)
    wrong = Counter(coin for wanted, found in pairs for coin in found - wanted)
    missed = Counter(coin for wanted, found in pairs for coin in wanted - found)
    hits = sum(right.values())
    return {
        "precision": share(hits, hits + sum(wrong.values())),
        "recall": share(hits, hits + sum(missed.values())),
        "rows_all_right": share(sum(wanted == found for wanted, found in pairs), len(pairs)),
        "by_coin": {
            coin: {"right": right[coin], "wrong": wrong[coin], "missed": missed[coin]}
            for coin in sorted({*right, *wrong, *missed})
        },
    }


def _stories(rows: Sequence[Labelled], texts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Compare pairs of articles of one story with the events that they are in; each row is an outlet of its own."""
    ids = [f"{n:06}" for n in range(len(rows))]
    coins = all_coins()
    frame = pd.DataFrame(
        {"article_id": ids, "date": _FIRST.date(), "available_at": [_FIRST + timedelta(seconds=n) for n in range(len(rows))], "feed": ids,
         "title": [title for title, _ in texts], "summary": [summary for _, summary in texts],
         "symbols": [find_symbols(". ".join(filter(None, text)), coins) for text in texts]}
    )  # fmt: skip
    placed = events.assign(frame, _FIRST.date(), _FIRST.date())
    event = dict(zip(placed["article_id"], placed["event_id"], strict=True))
    known = [n for n, row in enumerate(rows) if row.story]
    pairs = list(combinations(known, 2))
    same = np.array([rows[a].story == rows[b].story for a, b in pairs], dtype=bool)
    linked = np.array([event.get(ids[a], a) == event.get(ids[b], b) for a, b in pairs], dtype=bool)
    right = int(np.sum(same & linked))
    return {"precision": share(right, int(linked.sum())), "recall": share(right, int(same.sum()))}
