"""A platform of its own with generated headlines in ``news_articles``, and a model of a fixed delay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from dagster import DagsterInstance

from crypto_assets.narratives.llm.text import Article
from crypto_assets.sandbox.llm import Rule
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse


@dataclass
class Bench:
    instance: DagsterInstance
    warehouse: Warehouse
    sandbox: Sandbox
    start: date
    end: date

    def backfill(self, table: str) -> None:
        from crypto_assets.operate.backfill import backfill

        report = backfill(self.instance, self.warehouse, [table], self.start, self.end)
        if not report.ok:
            raise RuntimeError(f"the backfill of {table} failed: {report.failures}")

    def articles(self) -> int:
        return self.warehouse.read("news_articles", start=self.start, end=self.end, columns=["article_id"]).height

    def texts(self) -> int:
        """Different texts among the articles: each is one question."""
        rows = self.warehouse.read("news_articles", start=self.start, end=self.end, columns=["title", "summary"])
        return len({Article.of(*row).content_hash for row in rows.rows()})

    def good_answers(self) -> int:
        rows = self.warehouse.read("article_narratives", start=self.start, end=self.end, columns=["analyzer", "status"])
        return len([row for row in rows.rows() if row == (self.sandbox.model.name, "ok")])


@contextmanager
def platform(days: int, delay_s: float) -> Iterator[Bench]:
    """The last ``days`` closed days of generated news, stored; the model's answers take ``delay_s``, one at a time."""
    end = date.today() - timedelta(days=1)
    start = end - timedelta(days=days - 1)
    with tempfile.TemporaryDirectory() as home, Sandbox(model=Rule(delay=delay_s)) as sandbox:
        os.environ.pop("DAGSTER_POSTGRES_URL", None)
        os.environ.update(
            sandbox.env() | {"CRYPTO_ASSETS_HOME": home, "CRYPTO_ASSETS_WAREHOUSE": str(Path(home) / "warehouse")}
        )
        settings = Settings.from_env()
        from crypto_assets.runtime.home import open_instance

        with open_instance(settings) as instance:
            bench = Bench(instance, Warehouse(settings.warehouse), sandbox, start, end)
            bench.backfill("news_articles")
            yield bench
