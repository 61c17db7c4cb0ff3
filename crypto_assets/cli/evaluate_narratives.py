"""``crypto-assets evaluate-narratives``: the analysis of news against labels of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from crypto_assets.cli import examples


@click.command(
    name="evaluate-narratives",
    short_help="Measure tone, themes and coins of news against your labels.",
    epilog=examples("evaluate-narratives --labels headlines.csv", "evaluate-narratives --labels headlines.csv --json"),
)
@click.option(
    "--labels", "path", required=True, type=click.Path(path_type=Path),
    help="CSV: title, and any of summary, sentiment (-1, 0, 1), theme, symbols (a vertical bar between), story.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def evaluate_narratives(path: Path, as_json: bool) -> None:
    """Analyse labelled titles and compare: shares with 95 % intervals, confusion, and the gain over the lexicon."""
    from crypto_assets.narratives.evaluation import evaluate, read_labels

    document = evaluate(*read_labels(path))
    click.echo(json.dumps(document) if as_json else "\n".join(_lines(document)))


def _lines(document: dict[str, Any]) -> list[str]:
    """Return the document for people: a line a figure, then the confusions."""
    lines = [f"{document['rows']} articles, analysed by {document['analyzer']}"]
    for part in ("sentiment", "theme", "symbols", "story"):
        found = document.get(part)
        if found is None:
            continue
        lines += ["", part]
        lines += [f"  {name:<18}{_figure(value)}" for name, value in found.items() if "low" in value]
        if part == "sentiment":
            against = found["against_lexicon"]
            lines.append(
                f"  {'against lexicon':<18}{against['only_ours']} right alone, {against['only_theirs']} wrong alone, "
                f"p = {against['p']:.2g} (McNemar)"
            )
        for label, said in found.get("confusion", {}).items():
            others = ", ".join(
                f"{name} {count}" for name, count in sorted(said.items(), key=lambda pair: -pair[1]) if count
            )
            lines.append(f"  labelled {label}: {others or 'none'}")
    return lines


def _figure(share: dict[str, Any]) -> str:
    if share["value"] is None:
        return "nothing to measure"
    of = f"  ({share['right']} of {share['of']})" if "of" in share else ""
    return f"{share['value']:.3f}  [{share['low']:.3f}, {share['high']:.3f}]{of}"
