"""Messages over real HTTP from a real Postgres: once, in order, whatever the receiver or this process does."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
import time
from datetime import datetime, timedelta, timezone

import pytest

from crypto_assets.monitoring.alerts import delivery
from crypto_assets.monitoring.alerts.delivery import deliver
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.alerts.kinds import KINDS
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.settings import Settings
from crypto_assets_tests.monitoring.alerts.receiver import SECRET, Receiver

NOW = datetime(2024, 5, 4, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
BOOKS = "https://books.example/runbooks"


def settings(receiver: Receiver, **more: str) -> Settings:
    return Settings.from_env({"ALERT_WEBHOOK_URL": receiver.url, **more})


def see(ledger: Ledger, now: datetime, **subjects: str | None) -> None:
    ledger.observe("staleness", [Sighting(s, t, now - MINUTE) for s, t in subjects.items()], now, BOOKS)


def send(ledger: Ledger, receiver: Receiver, now: datetime, **more: str) -> tuple[int, int]:
    return deliver(ledger, settings(receiver, **more), now, lambda line: None)


def test_one_message_when_it_begins_and_one_when_it_is_over(ledger: Ledger, receiver: Receiver) -> None:
    for minute in range(5):
        see(ledger, NOW + MINUTE * minute, prices=f"{minute} minutes late", ohlc=None)
        send(ledger, receiver, NOW + MINUTE * minute)
    see(ledger, NOW + MINUTE * 6, prices=None)
    see(ledger, NOW + MINUTE * 7, prices=None)
    send(ledger, receiver, NOW + MINUTE * 7)
    assert receiver.events() == [("staleness", "prices", "opened"), ("staleness", "prices", "closed")]
    opened, closed = receiver.got
    assert opened["what"] == "0 minutes late"
    assert opened["since"] == (NOW - MINUTE).isoformat()
    assert opened["consequence"] == KINDS["staleness"].consequence
    assert opened["runbook"] == f"{BOOKS}/staleness.md"
    assert closed["lasted_seconds"] == 7 * 60
    assert ledger.open() == []
    see(ledger, NOW + MINUTE * 8, prices="again")
    send(ledger, receiver, NOW + MINUTE * 8)
    assert receiver.got[-1]["incident"] != opened["incident"], "a new stretch is a new incident"


def test_a_receiver_that_is_away_loses_nothing(ledger: Ledger, receiver: Receiver) -> None:
    receiver.status = 503
    see(ledger, NOW, prices="late", ohlc="late")
    assert send(ledger, receiver, NOW) == (0, 1), "after the first refusal the others wait"
    see(ledger, NOW + MINUTE, prices=None)
    assert send(ledger, receiver, NOW)[1] <= 1
    assert ledger.waiting()[0][2] == "HTTP 503"
    receiver.status = 200
    for minute in range(1, 40):
        send(ledger, receiver, NOW + MINUTE * minute)
    assert sorted(receiver.events()) == [
        ("staleness", "ohlc", "opened"), ("staleness", "prices", "closed"), ("staleness", "prices", "opened"),
    ]  # fmt: skip
    mine = [event for _, subject, event in receiver.events() if subject == "prices"]
    assert mine == ["opened", "closed"], "the end is never sent before the beginning"
    assert ledger.waiting() == []


def test_waits_grow_and_a_pause_that_is_asked_for_is_kept(ledger: Ledger, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "600"}
    see(ledger, NOW, prices="late")
    send(ledger, receiver, NOW)
    receiver.headers = {}
    assert send(ledger, receiver, NOW + MINUTE * 9) == (0, 0), "not due before ten minutes"
    tried = [minute for minute in range(10, 75) if send(ledger, receiver, NOW + MINUTE * minute)[1]]
    gaps = [b - a for a, b in itertools.pairwise(tried)]
    assert gaps == sorted(gaps) and gaps[-1] == 15


@pytest.mark.parametrize("asked", ["31536000", "9" * 400, "Wed, 25 Nov 2099 04:00:00 GMT", "soon", "-5", "nan"])
def test_no_receiver_can_ask_for_more_than_the_longest_wait(ledger: Ledger, receiver: Receiver, asked: str) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": asked}
    see(ledger, NOW, prices="late")
    assert send(ledger, receiver, NOW) == (0, 1)
    receiver.status = 200
    assert send(ledger, receiver, NOW + MINUTE * 15) == (1, 0)


def test_a_message_that_is_refused_for_itself_does_not_hold_up_the_next(ledger: Ledger, receiver: Receiver) -> None:
    receiver.status = 422
    see(ledger, NOW, prices="late", ohlc="late")
    assert send(ledger, receiver, NOW) == (0, 2)


def test_a_receiver_that_drips_is_given_up_like_one_that_hangs(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.drips = True
    see(ledger, NOW, prices="late")
    with monkeypatch.context() as impatient:
        impatient.setattr(delivery, "TIMEOUT_S", 0.6)
        began = time.monotonic()
        assert send(ledger, receiver, NOW) == (0, 1)
    assert time.monotonic() - began < 5, "ten seconds of bytes were still to come"
    assert ledger.waiting()[0][2] == "no answer within 0.6 s"
    receiver.drips = False
    assert send(ledger, receiver, NOW + MINUTE) == (1, 0)


def test_an_address_that_no_name_server_could_know_fails_without_being_shown(ledger: Ledger) -> None:
    lines: list[str] = []
    see(ledger, NOW, prices="late")
    for n, host in enumerate((f"{SECRET * 4}.example", f"{SECRET}..example", f"{SECRET}:99999", "")):
        found = Settings.from_env({"ALERT_WEBHOOK_URL": f"http://{host}/"})
        assert deliver(ledger, found, NOW + MINUTE * 15 * n, lines.append) == (0, 1)
    assert SECRET not in "".join(lines) + str(ledger.waiting())


def test_what_a_provider_put_into_its_error_neither_stops_the_look_nor_reaches_a_terminal(
    ledger: Ledger, receiver: Receiver
) -> None:
    see(ledger, NOW, prices="answered 500: \x00\x1b[31m\ud800\u202e\n& " + "&" * 10_000)
    send(ledger, receiver, NOW, ALERT_FORMAT="slack")
    shown = receiver.got[0]["blocks"][0]["text"]["text"]
    assert shown.replace("\n", "").isprintable()
    assert "answered 500: [31m &amp;" in shown and len(shown) < 3000, "Slack takes no more in a section"


def _deliver_and_die(url: str, webhook: str) -> None:
    """Deliver, and be killed after the receiver has the message and before that is noted."""
    kill = os.getpid()
    original = Ledger.deliver_one

    def deadly(self: Ledger, now: datetime, post: object, backoff: object) -> object:
        def post_and_die(message: object) -> object:
            post(message)  # type: ignore[operator]
            os.kill(kill, signal.SIGKILL)

        return original(self, now, post_and_die, backoff)  # type: ignore[arg-type]

    Ledger.deliver_one = deadly  # type: ignore[method-assign, assignment]
    deliver(Ledger(url), Settings.from_env({"ALERT_WEBHOOK_URL": webhook}), NOW, lambda line: None)


def test_killed_between_sending_and_noting_it(ledger: Ledger, receiver: Receiver) -> None:
    see(ledger, NOW, prices="late")
    process = multiprocessing.get_context("spawn").Process(
        target=_deliver_and_die, args=(os.environ["DAGSTER_POSTGRES_URL"], receiver.url)
    )
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    assert len(receiver.got) == 1
    end = time.monotonic() + 120
    while (sent := send(ledger, receiver, NOW + MINUTE)) == (
        0,
        0,
    ):  # Postgres has yet to notice that the process is gone
        assert time.monotonic() < end, "what a dead process was sending stays locked"
        time.sleep(0.05)
    assert sent == (1, 0)
    assert len(receiver.ids) == 2 and len(set(receiver.ids)) == 1, "the repetition has the first one's id"
    assert send(ledger, receiver, NOW + MINUTE * 2) == (0, 0)


def test_two_deliverers_send_a_message_once(ledger: Ledger, receiver: Receiver) -> None:
    see(ledger, NOW, prices="late")
    other = Ledger(os.environ["DAGSTER_POSTGRES_URL"])
    second: list[tuple[int, int]] = []
    receiver.before_answer = lambda: second.append(send(other, receiver, NOW))
    assert send(ledger, receiver, NOW) == (1, 0)
    assert second == [(0, 0)]


def test_silence_holds_back_until_it_ends(ledger: Ledger, receiver: Receiver) -> None:
    ledger.silence("staleness:news_*", NOW + MINUTE * 30, "feeds are moving")
    see(ledger, NOW, news_articles="late", newsXarticles="late", prices="late")
    send(ledger, receiver, NOW)
    assert {subject for _, subject, _ in receiver.events()} == {"prices", "newsXarticles"}, "_ is itself"
    send(ledger, receiver, NOW + MINUTE * 31)
    assert receiver.events()[-1] == ("staleness", "news_articles", "opened"), "still wrong when the silence ends"


def test_what_began_and_ended_in_silence_is_never_told(ledger: Ledger, receiver: Receiver) -> None:
    see(ledger, NOW, ohlc="late")
    send(ledger, receiver, NOW)
    ledger.silence("staleness", NOW + MINUTE * 30, "")
    see(ledger, NOW + MINUTE, prices="late")
    see(ledger, NOW + MINUTE * 2, prices=None, ohlc=None)
    send(ledger, receiver, NOW + MINUTE * 40)
    assert receiver.events() == [("staleness", "ohlc", "opened"), ("staleness", "ohlc", "closed")]
    assert [s[0] for s in ledger.silences(NOW)] == ["staleness"]
    assert ledger.lift("staleness") and not ledger.lift("staleness")


def test_slack_gets_its_own_format(ledger: Ledger, receiver: Receiver) -> None:
    see(ledger, NOW, prices="p < 1 & <!channel>")
    send(ledger, receiver, NOW, ALERT_FORMAT="slack")
    (body,) = receiver.got
    assert set(body) == {"text", "blocks"}
    shown = body["blocks"][0]["text"]["text"]
    assert "p &lt; 1 &amp; &lt;!channel&gt;" in shown
    assert "<!channel>" not in str(body)
    assert f"<{BOOKS}/staleness.md>" in body["blocks"][1]["elements"][-1]["text"]


@pytest.mark.parametrize("status", [200, 500, 0])
def test_the_address_is_shown_nowhere(
    ledger: Ledger, receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.DEBUG)
    receiver.status = status or 200
    url = receiver.url if status else f"http://127.0.0.1:9/{SECRET}"
    found = Settings.from_env({"ALERT_WEBHOOK_URL": url})
    lines: list[str] = []
    see(ledger, NOW, prices="late")
    deliver(ledger, found, NOW, lines.append)
    assert lines and "prices" in lines[0]
    everything = caplog.text + "".join(lines) + repr(found) + str(ledger.waiting())
    assert SECRET not in everything


def test_without_a_webhook_messages_are_logged_once(ledger: Ledger) -> None:
    lines: list[str] = []
    see(ledger, NOW, prices="late")
    for _ in range(2):
        deliver(ledger, Settings.from_env({}), NOW, lines.append)
    assert len(lines) == 1
    assert "PAGE Table is stale: prices: late (since 2024-05-04 11:59 UTC)" in lines[0]
