"""``crypto-assets metrics``: an endpoint for Prometheus."""

from __future__ import annotations

import click

from crypto_assets.cli import configured, examples, home_option
from crypto_assets.errors import CryptoAssetsError


@click.command(
    short_help="Serve freshness, service level and incidents to Prometheus.",
    epilog=examples("metrics", "metrics --port 9100 --host 0.0.0.0"),
)
@click.option("--port", default=9464, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", help="Address to listen on; default: CRYPTO_ASSETS_METRICS_HOST, else 127.0.0.1.")
@home_option
def metrics(port: int, host: str | None) -> None:
    """Serve freshness, service level and incidents for Prometheus, by default only to this machine."""
    from dataclasses import replace

    from crypto_assets.monitoring.metrics import serve
    from crypto_assets.runtime.home import prepare

    prepare(configured())  # sets the address of the Postgres with the incidents
    settings = configured()
    host = (host or "").strip() or settings.metrics_host
    shown = f"[{host}]" if ":" in host else host
    try:
        server, thread = serve(replace(settings, metrics_host=host), port)
    except OSError as error:
        raise CryptoAssetsError(
            f"{shown}:{port} cannot be listened on ({error.strerror}); give another --port, or an address of this machine "
            "as --host or CRYPTO_ASSETS_METRICS_HOST"
        ) from error
    click.echo(f"metrics on http://{shown}:{port}/metrics (stop with Ctrl-C)", err=True)
    try:
        thread.join()
    finally:
        server.shutdown()
