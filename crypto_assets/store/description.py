"""What a table holds, from its contract, as text and as a page of a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import polars as pl

from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import TABLES


@dataclass(frozen=True)
class Description:
    """What a table holds.

    Attributes:
        table: its name.
        description: what it is about.
        grain: what one row is.
        key: the columns that identify a row.
        known: when a row becomes known (``available_at``).
        revised: whether its values are those that were known then (``pit_quality``).
        filled: when the platform fills it.
        columns: name, type, unit, nullable, description of each column.
        reference: the provider's documentation; empty for a derived table.
    """

    table: str
    description: str
    grain: str
    key: tuple[str, ...]
    known: str
    revised: str
    filled: str
    columns: pl.DataFrame
    reference: str

    @property
    def facts(self) -> dict[str, str]:
        """What it says of the table as a whole, by label."""
        found = {
            "One row": self.grain,
            "Key": ", ".join(self.key),
            "Known": self.known,
            "Revised": self.revised,
            "Filled": self.filled,
            "Reference": self.reference,
        }
        return {label: said for label, said in found.items() if said}

    def __repr__(self) -> str:
        lines = [f"{self.table}: {self.description}"]
        lines += [f"  {label + ':':<11}{said}" for label, said in self.facts.items()]
        with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, fmt_str_lengths=90, tbl_width_chars=160):
            return "\n".join([*lines, str(self.columns)])

    def _repr_html_(self) -> str:
        facts = "".join(f"<dt>{escape(label)}</dt><dd>{escape(said)}</dd>" for label, said in self.facts.items())
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in self.columns.rows()
        )
        return (
            f"<h4>{escape(self.table)}</h4><p>{escape(self.description)}</p><dl>{facts}</dl>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def describe(contract: Contract) -> Description:
    """Describe a table.

    Args:
        contract: its contract.

    Returns:
        The description.
    """
    columns = [
        (column.name, str(contract.polars_schema[column.name]), column.unit, column.nullable, column.description)
        for column in contract.columns
    ]
    spec = TABLES[contract.table]
    return Description(
        table=contract.table,
        description=contract.description,
        grain=contract.grain,
        key=contract.key,
        known=contract.available_at_rule,
        revised=contract.pit_quality.said,
        filled="; ".join(sorted(when.value for when in spec.when)),
        columns=pl.DataFrame(
            columns,
            schema={"column": pl.String, "type": pl.String, "unit": pl.String, "nullable": pl.Boolean, "is": pl.String},
            orient="row",
        ),
        reference=contract.reference,
    )
