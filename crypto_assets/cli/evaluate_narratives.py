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
    epilog=examples(
        "evaluate-narratives --labels headlines.csv",
        "evaluate-narratives --labels headlines.csv --json",
        "evaluate-narratives --labels headlines.csv --with-model",
    ),
)
@click.option(
    "--labels", "path", required=True, type=click.Path(path_type=Path),
    help="CSV: title, and any of summary, sentiment (-1, 0, 1), theme, symbols (a vertical bar between), story.",
)  # fmt: skip
@click.option(
    "--with-model",
    is_flag=True,
    help="Ask the LLM of OLLAMA_HOST about each title too, and measure it beside the classifier.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def evaluate_narratives(path: Path, with_model: bool, as_json: bool) -> None:
    """Analyse labelled titles and compare: shares with 95 % intervals, confusion, and the gain over the lexicon."""
    from crypto_assets.narratives.evaluation import evaluate, read_labels

    rows, given = read_labels(path)
    document = evaluate(rows, given)
    if with_model:
        from crypto_assets.narratives.llm.model_evaluation import evaluate_model
        from crypto_assets.settings import Settings

        document["model"] = evaluate_model(rows, Settings.from_env(), _progress)
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
    return lines + _model_lines(document.get("model"))


def _model_lines(model: dict[str, Any] | None) -> list[str]:
    if model is None:
        return []
    lines = ["", f"model {model['name']}", f"  {'answered':<22}{_figure(model['answered'])}"]
    for part in ("sentiment", "theme"):
        figures = {
            name: value for name, value in model.get(part, {}).items() if isinstance(value, dict) and "low" in value
        }
        lines += [f"  {f'{part} {name}':<32}{_figure(value)}" for name, value in figures.items()]
    return lines


def _progress(done: int, total: int, seconds: float) -> None:
    click.echo(f"\r{done} of {total} titles, {seconds / done:.1f} s each ", nl=done == total, err=True)


def _figure(share: dict[str, Any]) -> str:
    if share["value"] is None:
        return "nothing to measure"
    of = f"  ({share['right']} of {share['of']})" if "of" in share else ""
    return f"{share['value']:.3f}  [{share['low']:.3f}, {share['high']:.3f}]{of}"
