"""Render docs/data-dictionary.md from the contracts: ``python -m crypto_assets.tables.dictionary [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

from crypto_assets.tables.contract import Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import MEANINGS, QUALITIES
from crypto_assets.tables.registry import CONTRACTS

PATH = Path(__file__).parents[2] / "docs" / "data-dictionary.md"
HEAD = """# Data dictionary

Generated from the specs in `crypto_assets/tables/` by `make docs`; do not edit. Timestamps are UTC, in microseconds. `date` is
the partition. Empty cells are null: no source gave the value.

`pit_quality` says whether a row has the values that were known at its `available_at`
([decisions/pit-quality.md](decisions/pit-quality.md)), from best to worst: {qualities}.
"""


def render() -> str:
    """Render the whole document as Markdown."""
    contents = "\n".join(f"- [{name}](#{name}): {contract.description}" for name, contract in CONTRACTS.items())
    qualities = "; ".join(f"`{quality}` ({MEANINGS[quality]})" for quality in QUALITIES)
    return "\n".join(
        [HEAD.format(qualities=qualities), contents, "", *(_table(contract) for contract in CONTRACTS.values())]
    )


_WRITES = {
    WriteMode.REPLACE: "replaces",
    WriteMode.MERGE: "merges by key into",
    WriteMode.KEEP: "adds what is new by key to",
}


def _table(contract: Contract) -> str:
    facts = [
        f"One row per {contract.grain}; key: {', '.join(f'`{name}`' for name in contract.key)}.",
        f"Known from: {contract.available_at_rule}.",
        f"A materialisation {_WRITES[contract.write_mode]} its partitions.",
    ]
    if contract.ordered:
        facts.append(f"Always {', '.join(f'{low} ≤ {high}' for low, high in contract.ordered)}.")
    if contract.before:
        facts.append(f"Always {', '.join(f'{early} before {late}' for early, late in contract.before)}.")
    if contract.reference:
        facts.append(f"Reference: {contract.reference}.")
    rows = "\n".join(_row(column) for column in contract.columns)
    return (
        f"## {contract.table}\n\n{contract.description} {' '.join(facts)}\n\n"
        f"| column | type | unit | null | bounds | stale after | definition |\n|---|---|---|---|---|---|---|\n{rows}\n"
    )


def _row(column: Column) -> str:
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in (("≥", column.lower), (">", column.above), ("≤", column.upper))
        if bound is not None
    ]
    if column.allowed:
        bounds.append(("one of " if len(column.allowed) > 1 else "always ") + ", ".join(column.allowed))
    stale = f"{column.max_staleness.days} d" if column.max_staleness else ""
    text = column.description + (f" The provider's `{column.placeholder}` is null." if column.placeholder else "")
    cells = (f"`{column.name}`", str(column.dtype), column.unit, "yes" if column.nullable else "no", ", ".join(bounds))
    return "| " + " | ".join([*cells, stale, text.replace("|", "\\|")]) + " |"


def main() -> None:
    """Write the document; with ``--check``, exit with a message where the file is not up to date."""
    if "--check" in sys.argv:
        if not PATH.exists() or PATH.read_text(encoding="utf-8") != render():
            sys.exit(f"{PATH.name} is stale; run make docs")
        return
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
