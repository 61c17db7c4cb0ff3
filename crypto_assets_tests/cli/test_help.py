"""What the command says of itself: examples that are right, words that are nearly right, completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from crypto_assets.cli.main import cli

ROOT = click.Context(cli, info_name="crypto-assets")


def given_examples(text: str | None) -> list[str]:
    return re.findall(r"^  crypto-assets (.+)$", text or "", re.M)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_examples_that_it_understands(name: str) -> None:
    examples = given_examples(cli.commands[name].epilog)
    assert examples, f"{name} has no example: give its decorator epilog=examples(...)"
    for example in examples:
        said, *arguments = shlex.split(example.partition(" > ")[0])
        assert said == name
        cli.commands[name].make_context(name, arguments, ROOT)  # reads the arguments, runs nothing


def test_the_examples_stand_in_the_help_as_they_are_typed() -> None:
    shown = CliRunner().invoke(cli, ["backfill", "--help"]).output
    assert given_examples(cli.commands["backfill"].epilog)[0] in shown
    first = given_examples(cli.epilog)
    assert first
    assert all(example.split()[0] in cli.commands for example in first)


@pytest.mark.parametrize(
    ("written", "meant"), [("backfil", "backfill"), ("stauts", "status"), ("Doctor", "doctor"), ("datasets", "dataset")]
)
def test_a_misspelt_command_names_the_one_that_was_meant(written: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [written])
    assert result.exit_code == 2
    assert f"did you mean {meant}?" in result.output


def test_a_command_that_nothing_is_like_is_not_guessed() -> None:
    assert "did you mean" not in CliRunner().invoke(cli, ["xyzzy"]).output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_of_the_shell(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_CRYPTO_ASSETS_COMPLETE" in result.output
    assert "crypto-assets" in result.output


def test_the_console_script_answers_the_completion() -> None:
    """As a shell asks it, of the real entry point."""
    env = os.environ | {
        "_CRYPTO_ASSETS_COMPLETE": "bash_complete",
        "COMP_WORDS": "crypto-assets back",
        "COMP_CWORD": "1",
    }
    code = "import sys; sys.argv[0] = 'crypto-assets'; from crypto_assets.cli.entry import main; main()"
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert {line.partition(",")[2] for line in found.stdout.split()} == {"backfill", "backup"}, found.stderr


def test_the_list_of_commands_cuts_no_sentence() -> None:
    listed = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    assert all(name in listed for name in cli.commands)
    cut = [line for line in listed.partition("Commands:")[2].splitlines() if line.endswith("...")]
    assert not cut, "give the command a short_help of one line"


# evaluate-narratives reads a file of labels and nothing of a home.
@pytest.mark.parametrize("name", sorted(cli.commands.keys() - {"sandbox", "completion", "evaluate-narratives"}))
def test_every_command_that_reads_the_state_takes_a_home(name: str) -> None:
    options = {option for parameter in cli.commands[name].params for option in parameter.opts}
    assert "--home" in options


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", ">&- 2>&-"])
def test_streams_that_the_caller_closed_end_no_command(closed: str) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m crypto_assets.cli.main --version {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_stream_that_the_caller_closed_leaves_its_number_to_nobody() -> None:
    """The next file to open would have it, and a child process would write there."""
    script = (
        "import os; from crypto_assets.cli.entry import open_streams; open_streams(); "
        "print('lost'); os.write(2, os.readlink('/proc/self/fd/1').encode())"
    )
    command = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(script)} >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, os.devnull)
