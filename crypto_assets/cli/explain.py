"""``crypto-assets explain``: why a run started."""

from __future__ import annotations

import json

import click

from crypto_assets.cli import configured, examples, home_option


@click.command(short_help="Say why the run RUN_ID started.", epilog=examples("explain 3f0c9a5e"))
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@home_option
def explain(run_id: str, as_json: bool) -> None:
    """Say why the run RUN_ID started: the reason, who asked, tables, days, coins, attempts, inputs."""
    settings = configured()
    from crypto_assets.operate.explain import explain as find
    from crypto_assets.runtime.home import open_instance

    with open_instance(settings) as instance:
        found = find(instance, run_id)
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        width = max(len(what) for what, _ in found.lines())
        for what, text in found.lines():
            click.echo(f"{what:<{width}}  {text}")
