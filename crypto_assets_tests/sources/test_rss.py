"""News feeds over real sockets: plain text, dates in many formats, feeds that fail alone, hostile bodies."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crypto_assets.errors import SourceError
from crypto_assets.sources import rss
from crypto_assets.sources.fetched import Fetched
from crypto_assets_tests.sources.wire_server import Reply, Server, fetch, serve, shared

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
COLUMNS = ["feed", "title", "summary", "url", "published_at", "out_by", "language", "source"]
RFC = "Mon, 07 Sep 2026 12:43:50 +0000"


def item(
    title: str = "Bitcoin rallies", date: str | None = RFC, summary: str = "", link: str = "https://n.example/a"
) -> str:
    stamp = "" if date is None else f"<pubDate>{date}</pubDate>"
    return f"<item><title>{title}</title><link>{link}</link>{stamp}<description>{summary}</description></item>"


def feed(*items: str, encoding: str = "utf-8") -> bytes:
    text = f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0"><channel>{"".join(items)}</channel></rss>'
    return text.encode(encoding)


def atom(entry: str) -> bytes:
    return f'<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title><entry>{entry}</entry></feed>'.encode()


def run(routes: dict[str, Any], now: datetime = NOW) -> Fetched:
    def feeds(server: Server) -> str:
        return ",".join(f"{name}={server.url}/{name}" for name in routes)

    with serve(lambda request: routes[request.path[1:]]) as server:
        return fetch(lambda client: rss.fetch_articles(client, server.settings(NEWS_FEEDS=feeds(server)), now))


def one(body: bytes) -> dict[str, Any]:
    (record,) = run({"a": body}).frame.to_dict("records")
    return record


def fails(body: Any) -> str:
    """The reason why this feed alone failed beside a good one."""
    result = run({"bad": body, "good": feed(item())})
    assert list(result.frame["feed"]) == ["good"] and list(result.missing) == ["bad"]
    assert "\n" not in result.missing["bad"]
    return result.missing["bad"]


def test_items_of_every_feed():
    result = run({"a": feed(item("First"), item("Second", link="https://n.example/b")), "b": feed(item("Third"))})
    assert list(result.frame.columns) == COLUMNS
    assert list(zip(result.frame["feed"], result.frame["title"], strict=True)) == [
        ("a", "First"), ("a", "Second"), ("b", "Third"),
    ]  # fmt: skip
    assert str(result.frame["published_at"].dtype) == "datetime64[us, UTC]"
    assert set(result.frame["source"]) == {"rss"} and result.missing == {}
    assert result.calls == 2 and len(result.digests) == 2


def test_markup_becomes_plain_text():
    record = one(
        feed(
            item(
                title="<![CDATA[ <b>AT&amp;T</b> &lt;3\x7f Bitcoin\n\t’s ]]>",
                summary="<![CDATA[<p>One&nbsp;two</p><p>three</p><script>alert('x')</script><style>p{}</style>"
                "<img src=x onerror=alert(1) alt='no'/> 5 < 6 &#x1F680;\u200b\u202e</p><!-- hidden -->end]]>",
            )
        )
    )
    assert record["title"] == "AT&T <3 Bitcoin ’s"
    assert record["summary"] == "One two three 5 < 6 🚀 end"


def test_escaped_markup_is_markup_and_double_escaped_is_text():
    record = one(feed(item(title="A &amp;amp; B", summary="&lt;p&gt;x &amp;lt;b&amp;gt; y&lt;/p&gt;")))
    assert (record["title"], record["summary"]) == ("A & B", "x <b> y")


def test_a_title_of_a_megabyte_is_cut():
    assert one(feed(item("word " * 200_000)))["title"] == ("word " * 200).rstrip()


def test_the_summary_is_capped_and_may_be_absent():
    assert len(one(feed(item(summary="long " * 1000)))["summary"]) <= 2000
    assert one(feed(item()))["summary"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon, 07 Sep 2026 12:43:50 +0000", (2026, 9, 7, 12, 43, 50)),
        ("Mon, 07 Sep 2026 12:43:50 GMT", (2026, 9, 7, 12, 43, 50)),
        ("Mon, 07 Sep 2026 12:43:50 EST", (2026, 9, 7, 17, 43, 50)),
        ("Mon, 07 Sep 2026 12:43:50 +0530", (2026, 9, 7, 7, 13, 50)),
        ("7 Sep 26 12:43 Z", (2026, 9, 7, 12, 43, 0)),
        ("2026-09-07T12:43:50Z", (2026, 9, 7, 12, 43, 50)),
        ("2026-09-07T12:43:50.123-04:00", (2026, 9, 7, 16, 43, 50)),
        ("2026-09-07", (2026, 9, 7, 0, 0, 0)),
    ],
)
def test_dates_in_many_formats(text: str, expected: tuple[int, ...]):
    moment = datetime(*expected, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
    assert one(feed(item(date=text)))["published_at"] == moment


@pytest.mark.parametrize(
    ("text", "published", "out_by"),
    [
        ("Mon, 07 Sep 2026 12:43:50", (7, 12, 43), (7, 12, 43)),  # no zone: UTC
        ("Mon, 07 Sep 2026 12:43:50 XYZ", (7, 12, 43), (7, 12, 43)),  # a zone that nobody knows: UTC
        ("2026-09-07T00:00:00Z", (7, 0, 0), (7, 0, 0)),
        ("2026-09-07", (7, 0, 0), (8, 0, 0)),  # some time in the day: certain only when it is over
        ("07 Sep 2026", (7, 0, 0), (8, 0, 0)),
    ],
)
def test_a_date_says_when_the_article_was_out_for_certain(text: str, published: Any, out_by: Any):
    record = one(feed(item(date=text)))
    assert (record["published_at"].day, record["published_at"].hour, record["published_at"].minute) == published
    assert (record["out_by"].day, record["out_by"].hour, record["out_by"].minute) == out_by


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "0", "2026", "2026-09", "0000-00-00", "2036-09-07T00:00:00Z"])
def test_a_date_that_is_none_is_not_made_up(text: str):
    assert "no usable item (1 without a title or a plausible date)" in fails(feed(item(date=text)))


def test_the_language_is_what_the_feed_says():
    def spoken(tag: str) -> Any:
        return one(feed().replace(b"<channel>", f"<channel><language>{tag}</language>{item()}".encode()))["language"]

    assert (spoken("en-US"), spoken("pt_BR"), spoken("de"), spoken("n/a"), spoken("")) == (
        "en-us", "pt-br", "de", None, None,
    )  # fmt: skip
    of_the_item = atom("<title xml:lang='fr'>t</title><updated>2026-09-08T00:00:00Z</updated>")
    assert one(of_the_item.replace(b"<feed ", b"<feed xml:lang='de' "))["language"] == "fr"
    assert one(feed(item()))["language"] is None


def test_atom():
    record = one(
        atom(
            '<title type="html">&lt;i&gt;Ether&lt;/i&gt; burns</title><id>urn:1</id>'
            '<link rel="alternate" href="https://n.example/e"/><updated>2026-09-08T00:00:00Z</updated>'
            "<published>2026-09-07T10:00:00+02:00</published><content>Long text</content>"
        )
    )
    assert (record["title"], record["summary"], record["url"]) == ("Ether burns", "Long text", "https://n.example/e")
    assert record["published_at"] == datetime(2026, 9, 7, 8, tzinfo=timezone.utc)
    updated = one(atom("<title>t</title><updated>2026-09-08T00:00:00Z</updated>"))
    assert updated["published_at"] == datetime(2026, 9, 8, tzinfo=timezone.utc) and updated["url"] is None


def test_items_without_title_or_plausible_date_are_counted_not_stored():
    bad = [item(date=None), item(date="yesterday"), item(date="Mon, 07 Sep 1998 12:00:00 GMT"), item(title=" "),
           item(date="2026-11-24T12:00:01Z"), item(date="99999-01-01T00:00:00Z")]  # fmt: skip
    result = run({"a": feed(item(), item("Ahead", date="2026-11-24T12:00:00Z"), *bad)})
    assert list(result.frame["title"]) == ["Bitcoin rallies", "Ahead"]
    assert result.missing == {"a": "6 of 8 items skipped (5 without a plausible date, 1 without a title)"}


def test_empty_and_foreign_descriptions_do_not_hide_the_items_own():
    other = (
        "<media:content><media:title>Photo</media:title><media:description>Caption</media:description></media:content>"
    )
    text = feed(item(summary="Real")).decode().replace("<item>", f"<item>{other}").replace("</item>", "%s</item>")
    for empty in ("<dc:description/>", "<itunes:summary></itunes:summary>", "<content:encoded />", ""):
        record = one((text % empty).encode())
        assert (record["title"], record["summary"]) == ("Bitcoin rallies", "Real"), empty
    assert one((text % "").replace("Real", "").encode())["summary"] is None


def test_only_web_addresses_are_links():
    assert one(feed(item(link="javascript:alert(1)")))["url"] is None
    assert one(feed(item(link="  https://n.example/x?a=1&amp;b=2 ")))["url"] == "https://n.example/x?a=1&b=2"


def test_the_declared_encoding_is_read():
    assert one(feed(item(title="Zürich Börse"), encoding="iso-8859-1"))["title"] == "Zürich Börse"
    assert one(feed(item(title="Krypto – 価格"), encoding="utf-16"))["title"] == "Krypto – 価格"


def test_a_feed_with_a_slip_is_still_read_but_a_cut_one_is_not():
    whole = feed(item("Rock & roll"), item("Second"))  # a bare ampersand is not XML
    assert list(run({"a": whole}).frame["title"]) == ["Rock & roll", "Second"]
    assert "cut off" in fails(feed(item("First"), item("Second"))[:-60])


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>'
    b"<rss version='2.0'><channel><item><title>&lol2;</title></item></channel></rss>"
)
OUTSIDE = BOMB.replace(b'lol "lol"', b'lol SYSTEM "file:///etc/passwd"')


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<!doctype html><html><body>Just a moment</body></html>", "did not answer RSS or Atom"),
        (b"", "did not answer RSS or Atom"),
        (b"{}", "did not answer RSS or Atom"),
        (b"/etc/passwd", "did not answer RSS or Atom"),
        (b"\x00\xff\xfe", "did not answer RSS or Atom"),
        (feed(), "no usable item"),
        (feed(item(date=None)), "no usable item"),
        (BOMB, "entities"),
        (OUTSIDE, "entities"),
        (BOMB.decode().encode("utf-16"), "entities"),
        (Reply(b"gone", 404), "404"),
        (Reply(b"busy", 503), "503"),
    ],
)
def test_a_feed_that_fails_fails_alone(body: Any, says: str):
    assert says in fails(body)


def test_an_address_as_a_body_is_not_followed():
    hits: list[str] = []
    with serve(lambda request: hits.append(request.path) or feed(item())) as other:
        assert "did not answer" in fails(f"{other.url}/secret".encode())
    assert hits == []


def test_when_every_feed_fails_nothing_is_returned():
    with pytest.raises(SourceError, match="None of the 2 news feeds gave articles") as error:
        run({"a": b"<html></html>", "b": Reply(b"", 500)})
    assert "\n" not in str(error.value)


def test_a_sandbox_says_so():
    result = run({"a": Reply(feed(item()), headers={"X-Crypto-Assets-Sandbox": "sandbox"}), "b": feed(item())})
    assert list(result.frame["source"]) == ["sandbox/rss", "rss"]


def test_recorded_feeds():
    names = ("coindesk", "cointelegraph", "decrypt_UNVERIFIED")
    result = run({name: shared("wire", "rss", f"{name}.xml").read_bytes() for name in names})
    found = {row["title"]: row for row in result.frame.to_dict("records")}
    assert len(found) == len(result.frame) == 5 and result.missing == {}
    circle = found["Circle and Tether step in to freeze hacker wallet after massive Bitget crypto heist"]
    assert circle["published_at"] == datetime(2026, 9, 25, 14, 41, 53, tzinfo=timezone.utc)
    assert circle["summary"].endswith("Most of the stolen funds sit in ether, which can't be frozen.")
    brazil = found["Brazil’s Petrobras uses Cardano to track sustainable aviation fuel, renewable diesel"]
    assert brazil["summary"].startswith("Petrobras developed two Cardano-based applications")
    assert brazil["url"].startswith("https://cointelegraph.com/news/brazils-petrobras")
    thorchain = found["Could THORChain face prosecution over stolen Bitget funds?"]  # pubDate, not the earlier update
    assert thorchain["published_at"] == datetime(2026, 9, 30, 13, 30, tzinfo=timezone.utc)
    assert found["Irish Gangs Are Renting Private Vaults to Hide Crypto Keys"]["feed"] == "decrypt_UNVERIFIED"


MARKUP = st.lists(
    st.sampled_from(
        ["<![", "<!", "<?", "</", "<rss>", "<item>", "<title>", "&#x", "&amp;", "]]>", "<!--", "-->", "CDATA[",
                     "<feed>", "<script", ">", "&#99999999;", "<pubDate>", "<!DOCTYPE ", "<svg:a b='"]
    )
    | st.text(max_size=6),
    max_size=30,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(text=MARKUP)
@example(text="<![if gte mso 9]>x<![endif]>")
@example(text="<![weird[x]]>")
def test_any_markup_becomes_text(text: str):
    plain = rss.plain_text(text)
    assert plain == " ".join(plain.split()) and not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in plain)
    plain.encode("utf-8")


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=80) | MARKUP.map(lambda t: f"<rss version='2.0'><channel><item>{t}</item>{t}".encode()))
def test_any_body_gives_articles_or_a_source_error(body: bytes):
    try:
        articles, _ = rss.parse_feed(body, "fuzz", NOW)
    except SourceError as error:
        assert "\n" not in str(error)
    else:
        assert articles and all(title for title, *_ in articles)
