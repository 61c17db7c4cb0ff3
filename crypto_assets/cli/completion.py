"""``crypto-assets completion``: the shell's completion of commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from crypto_assets.cli import examples


@click.command(
    short_help="Print the script that completes commands in SHELL.",
    epilog=examples("completion bash > ~/.local/share/bash-completion/completions/crypto-assets", "completion zsh"),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete crypto-assets.

    For the session: eval "$(crypto-assets completion bash)". Completing loads no Dagster.
    """
    found = get_completion_class(shell)
    assert found is not None, shell  # the choices are click's own
    click.echo(found(ctx.find_root().command, {}, "crypto-assets", "_CRYPTO_ASSETS_COMPLETE").source())
