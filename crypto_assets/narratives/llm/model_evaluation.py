"""Measure a model against labels, beside the classifier on the same texts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from crypto_assets.catalog import all_coins
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.narratives import lexicon
from crypto_assets.narratives.evaluation import Labelled, macro_f1, mcnemar, share
from crypto_assets.narratives.llm import analyst
from crypto_assets.narratives.llm.answer import Answer, parse
from crypto_assets.narratives.llm.journal import MemoryJournal
from crypto_assets.narratives.llm.text import Article
from crypto_assets.narratives.mentions import find_symbols
from crypto_assets.narratives.tone import CLASSES, tone_class
from crypto_assets.settings import Settings


def evaluate_model(rows: Sequence[Labelled], settings: Settings, progress: analyst.Progress) -> dict[str, Any]:
    """Ask the model of OLLAMA_HOST about labelled articles, as a run does, and compare.

    Args:
        rows: the articles.
        settings: the server, the model and its limits.
        progress: called after each text.

    Returns:
        ``name``, ``digest``, ``answered`` (share of the texts), and for the labels that there are ``sentiment`` and ``theme``,
        each with the classifier's figure on the same texts. Texts without an answer count in ``answered`` only.

    Raises:
        CryptoAssetsError: no model answers.
    """
    articles = [Article.of(row.title, row.summary or None) for row in rows]
    report = asyncio.run(analyst.analyse(articles, settings, MemoryJournal(), progress=progress))
    if report.model is None:
        raise CryptoAssetsError(f"no model can be measured: {report.reason}")
    answers = [_answer(report, article) for article in articles]
    pairs = [(row, found) for row, found in zip(rows, answers, strict=True) if found is not None]
    document: dict[str, Any] = {
        "name": report.model.name,
        "digest": report.model.digest,
        "answered": share(len(pairs), len(rows)),
    }
    judged = [(row, found, _classified(row)) for row, found in pairs]
    toned = [(row.sentiment, found.sentiment, said[1]) for row, found, said in judged if row.sentiment is not None]
    if toned:
        document["sentiment"] = _sentiment(toned)
    themes = [(row.themes[0], found.theme, said[0]) for row, found, said in judged if row.themes]
    if themes:
        document["theme"] = {
            "exact": share(sum(label == model for label, model, _ in themes), len(themes)),
            "classifier_exact": share(sum(label == ours for label, _, ours in themes), len(themes)),
        }
    return document


def _classified(row: Labelled) -> tuple[str, float]:
    """Return the theme and the tone that the lexicon and its classifier give."""
    named = find_symbols(". ".join(filter(None, (row.title, row.summary))), all_coins())
    theme, tone, _, _ = lexicon.judge(row.title, row.summary, names_coin=bool(named))
    return theme, tone


def _answer(report: analyst.Report, article: Article) -> Answer | None:
    entry = report.entries.get(article.content_hash)
    return parse(entry.answer) if entry is not None and entry.status == "ok" and entry.answer else None


def _sentiment(toned: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    truth = np.array([label for label, _, _ in toned], dtype=int)
    model = np.array([tone_class(said) for _, said, _ in toned], dtype=int)
    ours = np.array([tone_class(tone) for _, _, tone in toned], dtype=int)
    return {
        "accuracy": share(int(np.sum(model == truth)), len(truth)),
        "classifier_accuracy": share(int(np.sum(ours == truth)), len(truth)),
        "macro_f1": round(macro_f1(truth, model, CLASSES), 4),
        "differ": share(int(np.sum(model != ours)), len(truth)),
        "against_classifier": mcnemar(list(model == truth), list(ours == truth)),
    }
