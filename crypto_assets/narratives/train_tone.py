"""Train the tone classifier: ``python -m crypto_assets.narratives.train_tone LABELS.csv [FOLDER]``.

``LABELS.csv`` (also gzipped) has the columns ``title`` or ``news`` and ``sentiment`` or ``final_manual_labelling`` (-1, 0
or 1), and may have ``date`` and the votes of several people (``manual_labelling_1`` ...), each of which then counts as a
label of its own. Figures come from cross-validation over blocks of time. It needs scikit-learn (``pip install -e '.[dev]'``).
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crypto_assets.narratives.lexicon import word_scores
from crypto_assets.narratives.tone import (
    CLASSES,
    LEXICON,
    PARTS,
    WORDS,
    Block,
    ToneModel,
    lexicon_features,
    normalised,
    parts_of,
    tone,
    tone_class,
    words_of,
)  # fmt: skip

FOLDS = 8
STRENGTHS = (0.07, 0.15, 0.35, 0.7)  # C of the regression, for each of a text's votes, the most regularised first
LEAST_TEXTS = {WORDS: 2, PARTS: 3}  # texts that must have a feature
DIGITS = 3
Key = tuple[str, str]


def labelled(path: Path) -> pd.DataFrame:
    """Read labels.

    Args:
        path: the file.

    Returns:
        title, sentiment and votes (a list), in order of date where the file has one.

    Raises:
        SystemExit: a column is missing.
    """
    rows = pd.read_csv(path)
    rows = rows.rename(columns={"news": "title", "final_manual_labelling": "sentiment"})
    missing = {"title", "sentiment"} - set(rows.columns)
    if missing:
        raise SystemExit(f"{path} lacks the columns {', '.join(sorted(missing))}; name them so in the first line")
    rows = rows.dropna(subset=["title", "sentiment"])
    if "date" in rows:
        rows = rows.sort_values("date", kind="stable")
    people = [name for name in map(str, rows.columns) if name.startswith("manual_labelling_")]
    rows["votes"] = rows[people or ["sentiment"]].to_numpy().tolist()
    return rows[["title", "sentiment", "votes"]].reset_index(drop=True)


def fit(titles: list[str], votes: list[list[int]], strength: float = 0.15) -> ToneModel:
    """Fit the classifier.

    Args:
        titles: the texts.
        votes: the labels of each.
        strength: C of the regression: the smaller, the more regularised.

    Returns:
        The model, without a card.
    """
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    texts = [normalised(title) for title in titles]
    found: dict[str, list[Counter[str]]] = {
        WORDS: [Counter(words_of(text)) for text in texts],
        PARTS: [Counter(parts_of(text)) for text in texts],
    }
    idf: dict[Key, float] = {}
    for block, counts in found.items():
        uses = Counter(name for counted in counts for name in counted)
        for name in sorted(uses):
            if uses[name] >= LEAST_TEXTS[block]:
                idf[block, name] = round(math.log((1 + len(texts)) / (1 + uses[name])) + 1, DIGITS)
    idf.update({(LEXICON, name): 1.0 for name in lexicon_features(word_scores(""))})
    place = {key: n for n, key in enumerate(idf)}
    cells = [
        (row, place[key], value)
        for row, text in enumerate(texts)
        for key, value in _weights({block: counts[row] for block, counts in found.items()}, idf, text).items()
    ]
    row, column, value = zip(*cells, strict=True)
    matrix = csr_matrix((value, (row, column)), shape=(len(texts), len(idf)))
    repeated = matrix[[n for n, voted in enumerate(votes) for _ in voted]]
    regression = LogisticRegression(C=strength, max_iter=300).fit(repeated, [vote for voted in votes for vote in voted])
    assert tuple(regression.classes_) == CLASSES
    rounded = np.round(regression.coef_, DIGITS).T
    features: dict[str, dict[str, list[float]]] = {WORDS: {}, PARTS: {}, LEXICON: {}}
    for (block, name), n in place.items():
        features[block][name] = [idf[block, name], *map(float, rounded[n])]
    return ToneModel(
        {block: Block.of(found) for block, found in features.items()},
        tuple(float(b) for b in np.round(regression.intercept_, 4)),
        {},
    )


def _weights(counts: dict[str, Counter[str]], idf: dict[Key, float], text: str) -> dict[Key, float]:
    """Return the features of one text, as ``ToneModel.probabilities`` computes them."""
    weights: dict[Key, float] = {}
    for block, counted in counts.items():
        known = {
            (block, name): (1 + math.log(n)) * idf[block, name] for name, n in counted.items() if (block, name) in idf
        }
        length = math.sqrt(sum(weight * weight for weight in known.values()))
        weights.update({key: weight / length for key, weight in known.items()})
    weights.update({(LEXICON, name): value for name, value in lexicon_features(word_scores(text)).items()})
    return weights


def simplest(accuracies: dict[float, float], texts: int) -> float:
    """Choose the most regularised strength whose accuracy is within one standard error of the best.

    On texts of the same kind it does as well as the best; on texts of another kind it does better, because it rests less on
    words that few texts have (Breiman et al. 1984, the one-standard-error rule).

    Args:
        accuracies: strength -> cross-validated accuracy.
        texts: on how many texts they were measured.

    Returns:
        A strength.
    """
    best = max(accuracies.values())
    error = math.sqrt(best * (1 - best) / texts)
    return min(strength for strength, accuracy in accuracies.items() if accuracy >= best - error)


def cross_validated(rows: pd.DataFrame, strength: float) -> dict[str, Any]:
    """Judge the classifier on blocks of time that it was not trained on.

    Args:
        rows: the labels, in order of time.
        strength: C of the regression.

    Returns:
        Accuracy, macro-F1, share of right signs where people see one, and the accuracy of the lexicon alone.
    """
    fold = np.arange(len(rows)) * FOLDS // len(rows)
    found = np.zeros(len(rows), dtype=int)
    for held in range(FOLDS):
        train = rows[fold != held]
        model = fit(list(train["title"]), list(train["votes"]), strength)
        found[fold == held] = [class_of_title(model, title) for title in rows["title"][fold == held]]
    truth = rows["sentiment"].to_numpy(int)
    alone = [word_scores(title)["compound"] for title in rows["title"]]
    by_words = np.where(np.abs(alone) < 0.05, 0, np.sign(alone)).astype(int)
    scores = []
    for label in CLASSES:
        both = np.sum((truth == label) & (found == label))
        scores.append(2 * both / (np.sum(truth == label) + np.sum(found == label)))
    toned = truth != 0
    return {
        "texts": len(rows),
        "folds": f"{FOLDS} blocks of time",
        "accuracy": round(float(np.mean(found == truth)), 4),
        "macro_f1": round(float(np.mean(scores)), 4),
        "sign_right": round(float(np.mean(found[toned] == truth[toned])), 4),
        "lexicon_accuracy": round(float(np.mean(by_words == truth)), 4),
    }


def class_of_title(model: ToneModel, title: str) -> int:
    """Return the most probable class of a title: -1, 0 or 1."""
    text = normalised(title)
    return tone_class(tone(model.probabilities(text, word_scores(text))[0]))


def write(model: ToneModel, card: dict[str, Any], folder: Path) -> None:
    """Write the two files of a model."""
    with (folder / "tone_model.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["block", "feature", "idf", "negative", "neutral", "positive"])
        for name, block in model.blocks.items():
            for feature, n in block.places.items():
                writer.writerow([name, feature, block.idf[n], *block.coefficients[n]])
    text = json.dumps({"intercepts": model.intercepts, **card}, indent=2)
    (folder / "tone_model.json").write_text(f"{text}\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Train on a file and write the model beside this module, or into a folder."""
    if not 1 <= len(arguments) <= 2:
        raise SystemExit(__doc__)
    path = Path(arguments[0])
    folder = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).parent
    rows = labelled(path)
    figures = {strength: cross_validated(rows, strength) for strength in STRENGTHS}
    accuracies = {strength: figure["accuracy"] for strength, figure in figures.items()}
    strength = simplest(accuracies, len(rows))
    card = {
        "data": path.name,
        "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "strength": strength,
        "accuracy_by_strength": {str(tried): accuracy for tried, accuracy in accuracies.items()},
        "cross_validated": figures[strength],
    }
    write(fit(list(rows["title"]), list(rows["votes"]), strength), card, folder)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
