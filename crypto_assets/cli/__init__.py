"""Subcommands of ``crypto-assets`` that have their own file; ``cli/main.py`` adds them.

A command reads its arguments, calls one function and prints. Measuring and launching belong to ``operate``.
"""

from __future__ import annotations

import math
import os
from datetime import datetime, timezone
from typing import Any

import click

from crypto_assets.dates import parse_moment, today
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


def examples(*lines: str) -> str:
    """Return the end of a command's help: one example a line, as it is typed after ``crypto-assets``."""
    return "\n".join(["\b", "Examples:", *(f"  crypto-assets {line}" for line in lines)])


def parse_as_of(text: str | None) -> int | datetime | None:
    """Read ``--as-of``.

    Args:
        text: a version of ml_features, or an instant in UTC.

    Returns:
        The version, the instant, or None where nothing is given.

    Raises:
        UsageError: it is neither, or the instant is in the future.
    """
    if text is None:
        return None
    if text.strip().isdigit() and len(text.strip()) < 8:  # 20210301 is a day in ISO's basic form
        return int(text)
    moment = parse_moment(text, "--as-of")
    if moment > datetime.now(timezone.utc):
        raise UsageError(f"--as-of {text} is in the future: the same call would give another answer later")
    return moment


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
