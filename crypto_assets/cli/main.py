"""The ``crypto-assets`` command. Results go to stdout, progress and logs to stderr.

Exit 0: done. 1: it failed, and the last line of stderr says what, where, why and what to do. 2: wrong usage.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the modules below, which take a second or two to load
    from crypto_assets.cli.entry import begin

    begin()

import atexit
import importlib
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from crypto_assets.cli import configured, examples, home_option, parse_as_of, production
from crypto_assets.cli.alerts import alerts, silence
from crypto_assets.cli.completion import completion
from crypto_assets.cli.dataset import dataset
from crypto_assets.cli.evaluate import evaluate
from crypto_assets.cli.evaluate_narratives import evaluate_narratives
from crypto_assets.cli.explain import explain
from crypto_assets.cli.importing import import_news
from crypto_assets.cli.metrics import metrics
from crypto_assets.cli.models import models, signals, train
from crypto_assets.cli.report import report
from crypto_assets.cli.serve import serve, token
from crypto_assets.dates import check_range, parse_day, parse_moment, yesterday
from crypto_assets.errors import CryptoAssetsError, UsageError, suggestion
from crypto_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

STOPPED = "stopped by the user; what was written is whole, run the same command again to go on"
INTERRUPTED = 130  # 128 + SIGINT
_interrupted = threading.Event()
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")


def main() -> None:
    """Entry point of the console script."""
    warnings.filterwarnings("ignore")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopped = _stop_on_signals()
    atexit.register(_end_as_interrupted)  # before all others, so that it runs after them
    try:
        cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail(STOPPED, INTERRUPTED)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except UsageError as error:
        _fail(str(error), 2)
    except CryptoAssetsError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        sys.exit(1)
    except Exception:
        if stopped.is_set():  # a library made another error of the interrupt, as pydantic does while modules load
            _fail(STOPPED, INTERRUPTED)
        raise


def _stop_on_signals() -> threading.Event:
    """Make Ctrl-C and SIGTERM raise KeyboardInterrupt, so that runs end properly; the event says that one came."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopped


def _end_as_interrupted() -> None:
    """End with 130 after an interrupt.

    CPython ends a module by the signal itself once an interrupt has left code executed from text, as dataclasses and named
    tuples do it while modules load, even where the interrupt was caught later.
    """
    if _interrupted.is_set():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _fail(sentence: str, code: int) -> None:
    if code == INTERRUPTED:
        _interrupted.set()
    print(f"crypto-assets: {' '.join(sentence.split())}", file=sys.stderr)
    sys.exit(code)


class _Group(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = suggestion(args[:1], self.list_commands(ctx))
            text = f"{error.message.rstrip('.')}{near}; crypto-assets --help lists the commands"
            raise click.UsageError(text, ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # click would print an empty line first
            raise click.exceptions.Abort from error


@click.group(
    cls=_Group,
    epilog=examples("demo", "dev", "backfill --start 2024-01-01 --end 2024-01-31", "status"),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="crypto_assets")
def cli() -> None:
    """Crypto market data as a Dagster asset graph.

    Results go to stdout, progress and logs to stderr. Exit code 0: done; 1: it failed, and the last line of stderr says
    what, where, why and what to do; 2: wrong usage. What to set in the environment is in README.md.
    """


@cli.command(
    short_help="Materialise recent days on the sandbox.",
    epilog=examples("demo", "demo --days 30 --json", "demo --data ~/recordings"),
)
@click.option("--days", "count", default=7, show_default=True, type=click.IntRange(1, 366), help="Days to materialise.")
@click.option("--end", "end_text", help="Last day, YYYY-MM-DD.")
@click.option("--data", type=click.Path(path_type=Path), help="Replay recorded data from this folder.")
@home_option
@_json
def demo(count: int, end_text: str | None, data: Path | None, as_json: bool) -> None:
    """Materialise the whole graph for recent days on the sandbox."""
    settings = configured()
    end = parse_day(end_text, "--end") if end_text else None
    from crypto_assets.operate import demo as demonstration
    from crypto_assets.operate import home_sandbox
    from crypto_assets.runtime.postgres import started_meanwhile

    first = demonstration.earliest()
    if end is not None:
        check_range(end, end, first)
    plan = demonstration.choose_days(first, count, end, data)
    check_range(plan.start, plan.end, first)
    with demonstration.alone(settings):
        home = demonstration.settle(settings, plan, data)
        with home_sandbox.start(settings, home) as sandbox:
            with started_meanwhile(settings):
                _load_graph()
            with _instance(settings) as instance:  # asks no provider, so the sandbox may still be starting
                home_sandbox.point_at(sandbox)
                with _progress() as progress:
                    report, document = demonstration.run(instance, configured(), home, plan, progress)
    _show_status(document, as_json)
    _raise_failures(report.failures)
    if not as_json:
        from crypto_assets.cli.display import next_steps

        next_steps(settings.home, plan.start, plan.end)


@cli.command(
    short_help="Materialise the days from START to END.",
    epilog=examples(
        "backfill --start 2024-01-01 --end 2024-12-31",
        "backfill --start 2024-01-01 --end 2024-01-31 --select '+key:\"ml_features\"'",
        "backfill --start 2024-01-01 --end 2024-12-31 --missing",
    ),
)
@click.option("--start", "start_text", required=True, help="First day, YYYY-MM-DD.")
@click.option("--end", "end_text", required=True, help="Last day, YYYY-MM-DD, included.")
@click.option("--select", "selection", help="Dagster asset selection, e.g. 'group:\"onchain\"'; default: all.")
@click.option("--missing", is_flag=True, help="Only partitions not yet materialised.")
@home_option
@_json
def backfill(start_text: str, end_text: str, selection: str | None, missing: bool, as_json: bool) -> None:
    """Materialise the days from START to END, both included."""
    start, end = parse_day(start_text, "--start"), parse_day(end_text, "--end")
    settings = configured()
    check_range(start, end, settings.start)
    _known_coins(settings)
    from crypto_assets.operate import home_sandbox

    with home_sandbox.running(settings, _load_graph):  # refuses before anything slow is loaded
        from crypto_assets.assets.quarantine import pending_sentence
        from crypto_assets.operate import graph
        from crypto_assets.operate.backfill import backfill as launch
        from crypto_assets.storage.warehouse import Warehouse

        tables, warehouse = graph.select(selection), Warehouse(settings.warehouse)
        with _instance(settings) as instance, _progress() as progress:
            report = launch(instance, warehouse, tables, start, end, missing_only=missing, progress=progress)
    if "prices" in tables and (held := pending_sentence(warehouse, start, end)):
        click.echo(held, err=True)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        from crypto_assets.cli.display import backfill_table

        backfill_table(report)
    _raise_failures(report.failures)
    if not report.ok:
        short = {t: p["requested"] - p["materialized"] for t, p in report.partitions.items()}
        raise CryptoAssetsError(
            f"partitions are left unmaterialised: { ({t: n for t, n in short.items() if n}) }; "
            "run the same command with --missing"
        )


@cli.command(short_help="Trust a price that is held in quarantine.", epilog=examples("release BTC 2024-01-02T15:00"))
@click.argument("symbol")
@click.argument("ts")
@home_option
def release(symbol: str, ts: str) -> None:
    """Trust a price that is held in quarantine: SYMBOL at the hour mark TS (2024-01-02T15:00, UTC)."""
    settings = configured()
    moment = parse_moment(ts, "TS")
    from crypto_assets.assets.quarantine import release as let_go
    from crypto_assets.storage.warehouse import Warehouse

    price = let_go(Warehouse(settings.warehouse), symbol.upper(), moment)
    click.echo(f"{symbol.upper()} at {moment:%Y-%m-%d %H:%M} UTC is stored with {price:g} USD")
    click.echo(f"derive from it: crypto-assets backfill --start {moment.date()} --end {moment.date()}", err=True)


@cli.command(
    short_help="Show coverage, rows, freshness and checks per asset.",
    epilog=examples("status", "status --start 2024-01-01 --end 2024-01-31", "status --json"),
)
@click.option("--start", "start_text", help="First day; default: CRYPTO_ASSETS_START, in a demo's home its first day.")
@click.option("--end", "end_text", help="Last day; default: yesterday, or the last day of a demo's recordings.")
@home_option
@_json
def status(start_text: str | None, end_text: str | None, as_json: bool) -> None:
    """Show coverage, rows, freshness and checks per asset, computed from the tables now."""
    settings = configured()
    start = parse_day(start_text, "--start") if start_text else settings.start
    last = min(yesterday(), settings.last_day or yesterday())
    end = parse_day(end_text, "--end") if end_text else max(last, start)
    check_range(start, end, settings.start)
    _known_coins(settings)
    from crypto_assets.operate.status import status_of_home

    document = status_of_home(settings, start, end)
    _show_status(document, as_json)


@cli.command(
    short_help="Run read-only SQL (DuckDB) over every table.",
    epilog=examples(
        "sql 'select symbol, ts, price_usd from prices order by ts desc limit 5'",
        "sql 'select count(*) from ml_features' --format json",
        "sql 'select max(ts) from prices' --as-of 2024-06-01T12:00",
    ),
)
@click.argument("query")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option(
    "--as-of", "as_of_text", help="An instant (UTC), or a version of ml_features: the tables as they were then."
)
@home_option
def sql(query: str, form: str, as_of_text: str | None) -> None:
    """Run read-only SQL (DuckDB) over every table by its asset name."""
    as_of, settings = parse_as_of(as_of_text), configured()
    from crypto_assets.cli.display import result_table
    from crypto_assets.storage.snapshot import warehouse_at
    from crypto_assets.storage.sql import query as run_query

    result_table(run_query(warehouse_at(settings.warehouse, as_of), query), form)


@cli.command(
    short_help="Check configuration, storage and sources; say what to do.", epilog=examples("doctor", "doctor --json")
)
@home_option
@_json
def doctor(as_json: bool) -> None:
    """Check configuration, storage, database, sources and Ollama; say what to do.

    Each line is printed as soon as it is known. All sources and the model together take at most 75 seconds.
    """
    from crypto_assets.cli.display import doctor_line
    from crypto_assets.operate.doctor import examine

    findings = []
    with _sandbox_if_demo():
        for finding in examine():
            findings.append(finding)
            if not as_json:
                doctor_line(finding)
    if as_json:
        click.echo(json.dumps({"findings": [finding.as_json() for finding in findings]}))
    broken = [finding for finding in findings if finding.state == "fail"]
    if broken:
        raise CryptoAssetsError(f"{len(broken)} check(s) failed, first {broken[0].name}: {broken[0].text}")


@cli.command(
    epilog=examples(
        "sandbox", "sandbox --port 9000 --fault 'route=klines,status=503,rate=0.2'", "sandbox --data ~/recordings"
    )
)
@click.option("--port", default=8765, show_default=True, type=click.IntRange(1, 65535))
@click.option("--data", type=click.Path(path_type=Path), help="Replay recorded data from this folder.")
@click.option("--seed", default=7, show_default=True, help="Seed of the generated market.")
@click.option("--fault", help="Faults to inject, e.g. 'route=klines,status=503,rate=0.2'.")
@click.option("--model", type=click.Choice(["rule", "smollm2"]), default="rule", help="What answers Ollama's routes.")
def sandbox(port: int, data: Path | None, seed: int, fault: str | None, model: str) -> None:
    """Serve the providers' wire formats on 127.0.0.1."""
    from crypto_assets.sandbox.server import serve

    serve(port=port, data=data, seed=seed, fault=fault, model=model)


@cli.command(short_help="Run the UI and the daemon on 127.0.0.1.", epilog=examples("dev", "dev --port 3001"))
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@home_option
def dev(port: int) -> None:
    """Run the UI and the daemon on 127.0.0.1 over the same state; in a demo's home its sandbox as well."""
    settings = configured()
    from crypto_assets.operate import home_sandbox
    from crypto_assets.runtime.processes import check_port
    from crypto_assets.runtime.processes import dev as run

    check_port(port)  # before anything of the home is touched
    with home_sandbox.running(settings) as sandbox:
        if sandbox is not None:
            click.echo(home_sandbox.notice(settings, sandbox), err=True)
        run(configured(), port=port)


@contextmanager
def _sandbox_if_demo() -> Iterator[None]:
    """Run the sandbox of a demo's home. Anything that is wrong with the environment is left to the command inside."""
    from crypto_assets.operate import home_sandbox

    settings: Settings | None = None
    with suppress(CryptoAssetsError):
        settings = Settings.from_env()
    if settings is None or settings.demo is None:
        yield
    else:
        with home_sandbox.running(settings):
            yield


def _known_coins(settings: Settings) -> None:
    from crypto_assets.catalog import select

    try:
        select(settings.coins)
    except UsageError as error:
        raise CryptoAssetsError(str(error)) from error


def _load_graph() -> None:
    """Load Dagster and the definitions, which takes seconds: meanwhile other processes start."""
    importlib.import_module("crypto_assets.operate.backfill")


@contextmanager
def _instance(settings: Settings) -> Iterator[DagsterInstance]:
    from crypto_assets.runtime.home import open_instance

    with open_instance(settings) as instance:
        yield instance


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    from crypto_assets.cli.display import progress

    with progress() as update:
        yield update


def _show_status(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document))
    else:
        from crypto_assets.cli.display import status_table

        status_table(document)


def _raise_failures(failures: dict[str, str]) -> None:
    if failures:
        table, sentence = next(iter(failures.items()))
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise CryptoAssetsError(f"{table}: {sentence}{more}")


cli.add_command(dataset)
cli.add_command(train)
cli.add_command(models)
cli.add_command(signals)
cli.add_command(alerts)
cli.add_command(silence)
cli.add_command(report)
cli.add_command(explain)
cli.add_command(import_news)
cli.add_command(evaluate)
cli.add_command(evaluate_narratives)
cli.add_command(metrics)
cli.add_command(completion)
cli.add_command(serve)
cli.add_command(token)
for command in production.COMMANDS:
    cli.add_command(command)

if __name__ == "__main__":
    main()
