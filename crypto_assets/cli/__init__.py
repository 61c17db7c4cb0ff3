"""Subcommands of ``crypto-assets`` that have their own file; ``cli/main.py`` adds them.

A command reads its arguments, calls one function and prints. Measuring and launching belong to ``operate``.
"""

from __future__ import annotations

import math
from typing import Any

import click

from crypto_assets.dates import today
from crypto_assets.errors import CryptoAssetsError, UsageError
from crypto_assets.settings import Settings


def configured() -> Settings:
    """Read the settings.

    Returns:
        The settings.

    Raises:
        CryptoAssetsError: the environment is wrong; the command itself is right, so it exits 1.
    """
    try:
        settings = Settings.from_env()
    except UsageError as error:
        raise CryptoAssetsError(str(error)) from error
    if settings.start > today():
        raise CryptoAssetsError(f"CRYPTO_ASSETS_START is {settings.start}, in the future; write a day up to {today()}")
    return settings


class Positive(click.FloatRange):
    """A number above 0, up to ``max`` where there is one. It refuses ``nan``, which every range of click accepts."""

    def __init__(self, max: float | None = None) -> None:
        super().__init__(0, max, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number (click's interface); fail if it is not finite."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number", param, ctx)
        return found
