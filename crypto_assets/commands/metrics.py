"""``crypto-assets metrics``: an endpoint for Prometheus."""

from __future__ import annotations

import click

from crypto_assets.commands import configured
from crypto_assets.errors import CryptoAssetsError


@click.command()
@click.option("--port", default=9464, show_default=True, type=click.IntRange(1, 65535))
def metrics(port: int) -> None:
    """Serve freshness, service level and incidents for Prometheus on 127.0.0.1."""
    from crypto_assets.instance.home import prepare
    from crypto_assets.service.metrics import serve

    prepare(configured())  # names the Postgres that knows the incidents
    try:
        server, thread = serve(configured(), port)
    except OSError as error:
        raise CryptoAssetsError(f"port {port} cannot be used ({error.strerror}); give another --port") from error
    click.echo(f"metrics on http://127.0.0.1:{port}/metrics (stop with Ctrl-C)", err=True)
    try:
        thread.join()
    finally:
        server.shutdown()
