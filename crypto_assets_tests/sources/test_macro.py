"""Macro series without a key: CBOE, New York Fed, Treasury, ECB; and one that is down beside the others."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest

from crypto_assets.errors import SourceError
from crypto_assets.sources import cboe, ecb, macro, nyfed, treasury
from crypto_assets.sources.vintages import Given
from crypto_assets.tables.macro import MACRO_SERIES
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve

UTC = timezone.utc
START, END, NOW = date(2024, 6, 3), date(2024, 6, 7), datetime(2024, 6, 8, 12, tzinfo=UTC)
VIX = "DATE,OPEN,HIGH,LOW,CLOSE\n06/03/2024,13,14,12,13.11\n06/04/2024,13,14,12,13.16\n06/04/2024,13,14,12,13.17\n06/05/2024,13,14,12,x\n"
DATA = "http://schemas.microsoft.com/ado/2007/08/dataservices"
YIELDS = (
    f'<feed xmlns="http://www.w3.org/2005/Atom" xmlns:d="{DATA}" xmlns:m="{DATA}/metadata"><entry><content><m:properties>'
    "<d:NEW_DATE>2024-06-03T00:00:00</d:NEW_DATE><d:BC_2YEAR>4.82</d:BC_2YEAR><d:BC_10YEAR>4.41</d:BC_10YEAR>"
    "</m:properties></content></entry></feed>"
)


def rates(request: Request) -> Any:
    row = {"type": "SOFR", "percentRate": 5.33, "revisionIndicator": ""}
    return {"refRates": [{**row, "effectiveDate": "2024-06-04", "revisionIndicator": "R"}, {**row, "effectiveDate": "2024-05-24"},
                         {**row, "effectiveDate": "2024-03-28"}, {**row, "effectiveDate": "soon"}]}  # fmt: skip


def euro(request: Request) -> Any:
    def version(valid: str, **values: float) -> Any:
        return {"validFrom": valid, "series": {"0:0": {"observations": {n: [v, 0] for n, v in values.items()}}}}

    structure = {"dimensions": {"observation": [{"values": [{"id": "2024-06-03"}, {"id": "2024-06-04"}]}]}}
    first = version("2024-06-03T14:15:00+00:00", **{"0": 1.08})
    return {"dataSets": [first, version("2024-06-06T09:00:00+02:00", **{"0": 1.09, "1": 1.10})], "structure": structure}


def answer(request: Request) -> Any:
    if request.path.startswith("/cboe"):
        return Reply(VIX.encode())
    if request.path.startswith("/treasury"):
        return Reply(YIELDS.encode())
    return rates(request) if request.path.startswith("/nyfed") else euro(request)


def given(module: Any, name: str, server: Any = answer) -> Given:
    with serve(server) as running:
        settings = running.settings()
        return fetch(lambda client: getattr(module, name)(client, settings, START, END, NOW))


def values_of(found: Given, name: str) -> list[tuple[str, float | None, str]]:
    rows = sorted((v.observed, v.known, v) for v in found.vintages if v.series.name == name)
    return [(str(day), v.value, f"{known:%m-%d %H:%M}") for day, known, v in rows]


def test_vix_counts_from_the_midnight_after_its_day_and_what_contradicts_itself_is_set_aside() -> None:
    found = given(cboe, "fetch_vix")
    assert values_of(found, "VIXCLS") == [("2024-06-03", 13.11, "06-04 00:00")]
    assert [(r.day.day, r.reason) for r in found.log.records()] == [
        (4, "given twice with different values"), (5, "not a number"),
    ]  # fmt: skip
    with pytest.raises(SourceError, match="is no CSV with DATE and CLOSE"):
        given(cboe, "fetch_vix", lambda _: Reply(b"<html>moved</html>"))


def test_a_rate_is_published_on_the_next_business_day_and_a_revised_one_counts_from_the_revision() -> None:
    found = given(nyfed, "fetch_rates")
    assert values_of(found, "SOFR") == [
        ("2024-03-28", 5.33, "04-01 12:00"),  # Good Friday
        ("2024-05-24", 5.33, "05-28 12:00"),  # Monday was Memorial Day
        ("2024-06-04", 5.33, "06-05 18:30"),
    ]  # fmt: skip
    assert values_of(found, "EFFR")[-1] == ("2024-06-04", 5.33, "06-05 18:30")
    assert {record.reason for record in found.log.records()} == {"its time cannot be read"}


def test_par_yields_are_read_from_the_feed_of_the_year_and_entities_are_refused() -> None:
    found = given(treasury, "fetch_yields")
    assert values_of(found, "DGS2") == [("2024-06-03", 4.82, "06-04 00:00")]
    assert values_of(found, "DGS10") == [("2024-06-03", 4.41, "06-04 00:00")]
    with pytest.raises(SourceError, match="it declares a DOCTYPE"):
        given(treasury, "fetch_yields", lambda _: Reply(b'<!DOCTYPE x [<!ENTITY a "b">]><x/>'))


def test_the_versions_of_the_ecb_are_vintages() -> None:
    assert values_of(given(ecb, "fetch_ecb"), "DEXUSEU") == [
        ("2024-06-03", 1.08, "06-03 14:00"), ("2024-06-03", 1.09, "06-06 07:00"), ("2024-06-04", 1.10, "06-04 14:00"),
    ]  # fmt: skip


def test_a_provider_that_is_down_fails_its_series_and_the_others_are_stored() -> None:
    def without_treasury(request: Request) -> Any:
        return Reply({"error": "no"}, 500) if request.path.startswith("/treasury") else answer(request)

    with serve(without_treasury) as running:
        settings = running.settings()
        found = fetch(lambda client: macro.fetch_macro(client, settings, START, END, NOW)).fetched
    assert found.failed.keys() == {"DGS2", "DGS10"} and "HTTP 500" in found.failed["DGS2"]
    assert "M2SL" in found.missing, "no key, no series of FRED"
    assert {"VIXCLS", "SOFR", "EFFR", "DEXUSEU"} <= set(MACRO_SERIES.validate(found.frame)["series"])

    with serve(lambda _: Reply({"error": "no"}, 500)) as running, pytest.raises(SourceError, match="no macro series"):
        settings = running.settings()
        fetch(lambda client: macro.fetch_macro(client, settings, START, END, NOW))


@pytest.mark.parametrize(("status", "noted"), [(404, "missing"), (500, "failed")])
def test_a_rate_that_fails_takes_no_other_of_its_provider_with_it(status: int, noted: str) -> None:
    def without_effr(request: Request) -> Any:
        return Reply({"error": "no"}, status) if "/effr/" in request.path else answer(request)

    found = given(nyfed, "fetch_rates", without_effr)
    assert values_of(found, "SOFR") and getattr(found, noted).keys() == {"EFFR"}
    with pytest.raises(SourceError):
        given(nyfed, "fetch_rates", lambda _: Reply({"error": "no"}, status))
