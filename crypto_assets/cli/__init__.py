"""Subcommands of ``crypto-assets`` that have a file of their own; ``cli/main.py`` adds them.

A command reads its arguments, calls one function and prints; measuring and launching live in ``operate``.
"""

from __future__ import annotations

import math
from typing import Any

import click

from crypto_assets.dates import today
from crypto_assets.errors import CryptoAssetsError, UsageError
from crypto_assets.settings import Settings


def configured() -> Settings:
    """The settings. Raises :class:`CryptoAssetsError`: the command is right, the environment is not (exit 1)."""
    try:
        settings = Settings.from_env()
    except UsageError as error:
        raise CryptoAssetsError(str(error)) from error
    if settings.start > today():
        raise CryptoAssetsError(f"CRYPTO_ASSETS_START is {settings.start}, in the future; write a day up to {today()}")
    return settings


class Positive(click.FloatRange):
    """A number above 0, up to ``max`` where there is one. ``nan``, which every range lets through, is none."""

    def __init__(self, max: float | None = None) -> None:
        super().__init__(0, max, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number", param, ctx)
        return found
