"""Subcommands of ``crypto-assets`` that have their own file; ``cli/main.py`` adds them.

A command reads its arguments, calls one function and prints. Measuring and launching belong to ``operate``.
"""

from __future__ import annotations

import math
import os
from typing import Any

import click

from crypto_assets.dates import today
from crypto_assets.errors import CryptoAssetsError, UsageError
from crypto_assets.settings import Settings


def _use_home(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        if not value.strip():
            raise click.BadParameter("it is empty; name a folder")
        os.environ["CRYPTO_ASSETS_HOME"] = value


# Every module of the process, and its children, read the home from the environment.
home_option = click.option(
    "--home",
    callback=_use_home,
    expose_value=False,
    metavar="FOLDER",
    help="State of the platform; default: CRYPTO_ASSETS_HOME, else ./.crypto_assets.",
)


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
