"""A model's summary of an event as a sentence of a digest, with the model's name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, cast

import pandas as pd


def summaries(event_narratives: pd.DataFrame) -> dict[tuple[date, str], str]:
    """Choose one summary per event and day: of several models that of the last answer, then the first by name.

    Args:
        event_narratives: rows of the table.

    Returns:
        (day, event_id) -> the summary with the model's name. Events without a summary that their articles support are absent.
    """
    good = event_narratives[(event_narratives["status"] == "ok") & event_narratives["summary"].notna()]
    ordered = good.sort_values(["analyzed_at", "analyzer"], ascending=[True, False])
    rows = cast(Iterable[Any], ordered.itertuples())
    return {(row.date, row.event_id): f"Summary by {row.analyzer}: {row.summary}" for row in rows}
