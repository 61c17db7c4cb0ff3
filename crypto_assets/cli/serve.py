"""``crypto-assets serve`` and ``crypto-assets token``: the HTTP gateway and who may ask it."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crypto_assets.cli import configured, examples, home_option
from crypto_assets.dates import parse_moment
from crypto_assets.errors import UsageError

if TYPE_CHECKING:
    from crypto_assets.gateway.tokens import Token, Tokens

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")


@click.command(
    short_help="Serve tables, features and status over HTTP.",
    epilog=examples(
        "serve",
        "serve --port 8000 --without-token",
        "serve --workers 4",
        "serve --host 0.0.0.0 --cert tls.crt --key tls.key",
    ),
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
@click.option("--without-token", is_flag=True, help="Programs of this machine need no token.")
@click.option("--cert", type=click.Path(path_type=Path), help="Certificate (PEM), for TLS.")
@click.option("--key", type=click.Path(path_type=Path), help="Its key (PEM).")
@home_option
def serve(port: int, host: str, workers: int, without_token: bool, cert: Path | None, key: Path | None) -> None:
    """Serve what the platform knows over HTTP. A request needs a token, which `crypto-assets token create` makes."""
    from crypto_assets.gateway import server
    from crypto_assets.runtime.home import prepare

    if (cert is None) != (key is None):
        raise UsageError("--cert and --key belong together; give both, or none")
    for option, file in (("--cert", cert), ("--key", key)):
        if file is not None and not file.is_file():
            raise UsageError(f"{option} {file} is no file; name one in PEM")
    settings = configured()
    prepare(settings)  # sets the address of the Postgres
    certificate = None if cert is None or key is None else (cert, key)
    server.serve(
        settings,
        os.environ["DAGSTER_POSTGRES_URL"],
        host,
        port,
        workers=workers,
        loopback_without_token=without_token,
        certificate=certificate,
    )


@click.group(
    short_help="Make, list and revoke tokens of the HTTP gateway.",
    epilog=examples(
        "token create --name dashboard --tables prices,ohlc --expires 90d",
        "token list",
        "token revoke dashboard",
        "token role",
    ),
)
@home_option
def token() -> None:
    """Make, list and revoke the tokens that the HTTP gateway asks for."""


@token.command(
    epilog=examples(
        "token create --name dashboard --tables prices,ohlc --expires 90d", "token create --name research --tables all"
    )
)
@click.option("--name", required=True, help="Who or what it is for.")
@click.option("--tables", required=True, help="What it may read, e.g. prices,ml_features; or all.")
@click.option("--expires", help="When it ends: days from now (90d), or an instant in UTC; default: never.")
@click.option("--calls", default=600, show_default=True, type=click.IntRange(min=1), help="Requests a minute.")
@click.option("--rows", default=100_000_000, show_default=True, type=click.IntRange(min=1), help="Rows a UTC day.")
@_json
@home_option
def create(name: str, tables: str, expires: str | None, calls: int, rows: int, as_json: bool) -> None:
    """Make a token and print it once. Only a hash of it is stored."""
    wanted = [part.strip() for part in tables.split(",") if part.strip()]
    made = _tokens().create(name.strip(), wanted, _ends(expires), calls, rows)
    if as_json:
        click.echo(json.dumps({"name": name.strip(), "token": made, "tables": wanted}))
    else:
        click.echo(made)
        click.echo("it is shown this once; send it as Authorization: Bearer TOKEN", err=True)


@token.command("list", epilog=examples("token list", "token list --json"))
@_json
@home_option
def list_tokens(as_json: bool) -> None:
    """List the tokens, also those that have ended. Secrets are not stored, so none is shown."""
    now = datetime.now(timezone.utc)
    found = _tokens().all()
    if as_json:
        click.echo(json.dumps([_document(one, now) for one in found]))
        return
    for one in found:
        said = _document(one, now)
        until = said["expires_at"] or "no end"
        click.echo(f"{one.name}  {one.token_id}  {said['state']}  until {until}  {','.join(one.tables)}")
    if not found:
        click.echo("no token yet; crypto-assets token create makes one", err=True)


@token.command(epilog=examples("token revoke dashboard"))
@click.argument("name")
@_json
@home_option
def revoke(name: str, as_json: bool) -> None:
    """End the token NAME at once."""
    ended = _tokens().revoke(name.strip())
    if as_json:
        click.echo(json.dumps({"name": name.strip(), "revoked": ended}))
    else:
        click.echo(f"{name.strip()} is revoked" if ended else f"{name.strip()} was revoked before", err=True)


@token.command(epilog=examples("token role", "token role --name gateway_eu"))
@click.option("--name", default="crypto_assets_gateway", show_default=True, help="Of the role.")
@_json
@home_option
def role(name: str, as_json: bool) -> None:
    """Make the database role of a gateway and print its address once.

    The role reads tokens and the tables online, counts calls, and may do nothing else. Run again, it gets a new password.
    """
    from crypto_assets.gateway.role import Roles

    url = _postgres()
    password = Roles(url).grant(name)
    address = _address_of(url, name, password)
    click.echo(json.dumps({"role": name, "address": address}) if as_json else address)
    if not as_json:
        click.echo("it is shown this once; give it to crypto-assets serve as DAGSTER_POSTGRES_URL", err=True)


def _address_of(url: str, name: str, password: str) -> str:
    import sqlalchemy

    made = sqlalchemy.make_url(url).set(username=name, password=password)
    return made.render_as_string(hide_password=False)


def _tokens() -> Tokens:
    from crypto_assets.gateway.tokens import Tokens

    return Tokens(_postgres())


def _postgres() -> str:
    from crypto_assets.runtime.home import prepare

    prepare(configured())  # sets the address of the Postgres
    return os.environ["DAGSTER_POSTGRES_URL"]


def _ends(text: str | None) -> datetime | None:
    """Read when a token ends. Raises UsageError: it is no span and no instant, or it is not in the future."""
    if text is None:
        return None
    now = datetime.now(timezone.utc)
    span = text.strip().lower().removesuffix("d")
    if text.strip().lower().endswith("d") and span.isdigit() and 0 < int(span) <= 36_500:
        return now + timedelta(days=int(span))
    found = parse_moment(text, "--expires")
    if found <= now:
        raise UsageError(f"--expires {text} is not in the future; write days from now (90d), or a later instant")
    return found


def _document(one: Token, now: datetime) -> dict[str, object]:
    return {
        "name": one.name, "token_id": one.token_id, "tables": list(one.tables), "state": one.ended(now) or "valid",
        "created_at": one.created_at.isoformat(), "expires_at": one.expires_at.isoformat() if one.expires_at else None,
        "revoked_at": one.revoked_at.isoformat() if one.revoked_at else None,
        "calls_a_minute": one.calls_a_minute, "rows_a_day": one.rows_a_day,
    }  # fmt: skip
