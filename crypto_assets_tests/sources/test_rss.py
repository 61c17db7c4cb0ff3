"""News feeds over real sockets: plain text, dates in many formats, feeds that fail alone, hostile bodies."""

from __future__ import annotations

import gzip
from datetime import datetime, timezone
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crypto_assets.errors import SourceError
from crypto_assets.sources import rss
from crypto_assets.sources.fetched import Fetched, SetAside
from crypto_assets_tests.sources import parsed
from crypto_assets_tests.sources.wire_server import Reply, Server, fetch, serve, shared

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
COLUMNS = ["feed", "title", "summary", "url", "published_at", "out_by", "language", "dated", "guid", "source"]
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


def test_a_date_says_when_the_article_was_out_for_certain():
    record = one(feed(item(date="Mon, 07 Sep 2026 12:43:50 EST")))
    assert record["published_at"] == record["out_by"] == datetime(2026, 9, 7, 17, 43, 50, tzinfo=timezone.utc)
    record = one(feed(item(date="2026-09-07 22:43:50")))
    assert record["published_at"] == datetime(2026, 9, 7, 22, 43, 50, tzinfo=timezone.utc)
    assert record["out_by"] == datetime(2026, 9, 8, 10, 43, 50, tzinfo=timezone.utc)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "Mon, 07 Sep 1998 12:00:00 GMT", "2036-09-07T00:00:00Z"])
def test_a_date_that_cannot_be_is_not_believed(text: str):
    assert "no usable item (1 without a title or a plausible date)" in fails(feed(item(date=text)))


@pytest.mark.parametrize(
    "text", ["0", "2026", "2026-09", "0000-00-00", "yesterday", "07/09/2026 12:00", "Mon, 07 Sep 2026 1"]
)
def test_an_item_whose_date_is_not_understood_is_known_from_when_it_was_seen(text: str):
    result = run({"a": feed(item(date=text), item("Second", link="https://n.example/b"))})
    record = result.frame.set_index("title").loc["Bitcoin rallies"]
    assert record["published_at"] == record["out_by"] == NOW and not record["dated"]
    assert result.set_aside == (
        SetAside("a", NOW.date(), rss.NOT_UNDERSTOOD, "published_at", count=1, example=text),
    )  # fmt: skip
    assert result.frame.set_index("title").loc["Second", "dated"] and result.missing == {}


def test_no_date_makes_an_article_earlier_than_its_publication():
    """Atom's updated may lie before published (a planned article), dcterms:created always does."""

    def out_by(*dates: str) -> datetime:
        head = b'<rss version="2.0" xmlns:dc="http://purl.org/dc/terms/" xmlns:a="http://www.w3.org/2005/Atom">'
        body = feed(item(date=None).replace("</item>", "".join(dates) + "</item>"))
        return one(body.replace(b'<rss version="2.0">', head))["out_by"]

    updated, created = "<a:updated>2026-09-01T00:00:00Z</a:updated>", "<dc:created>2026-08-01T00:00:00Z</dc:created>"
    assert out_by(f"<pubDate>{RFC}</pubDate>", updated, created) == datetime(
        2026, 9, 7, 12, 43, 50, tzinfo=timezone.utc
    )
    assert out_by("<pubDate>vorgestern</pubDate>", updated) == NOW
    assert out_by(updated, created) == datetime(2026, 9, 1, tzinfo=timezone.utc)
    assert out_by(created) == NOW


SOON, LATE = "Mon, 07 Sep 2026 09:00:00 GMT", "Mon, 07 Sep 2026 22:00:00 GMT"
REPEATED = [
    f"<pubDate>{LATE}</pubDate><pubDate>{SOON}</pubDate>",
    f"<pubDate>{SOON}</pubDate><pubDate>{LATE}</pubDate>",
    f"<pubDate>{LATE}</pubDate><t:issued>2026-09-07T09:00:00Z</t:issued>",
    f"<pubDate>{LATE}</pubDate><a:published>2026-09-07T09:00:00Z</a:published><a:updated>2026-09-07T09:00:00Z</a:updated>",
    f"<pubDate><![CDATA[{LATE}]]></pubDate><pubDate><b>{SOON}</b></pubDate>",
    f"<pubDate>{LATE}</pubDate><pubDate/><pubDate></pubDate>",
    "<d:date>2026-09-07T22:00:00Z</d:date><d:date>2026-09-07T09:00:00Z</d:date>".replace("d:", "dc:"),
    f"<pubDate>{LATE}</pubDate><a:source><a:published>2026-09-09T09:00:00Z</a:published></a:source>",
    "<pubDate>Mon, 07 Sep 2026 <b>22:00:00</b> GMT</pubDate>",
    "<pubDate>Mon, 07 Sep 2026 10:00:00<!-- in the evening --> PM GMT</pubDate>",
    f"<description><![CDATA[<item><pubDate>{SOON}</pubDate></item>]]></description><pubDate>{LATE}</pubDate>",
]


@pytest.mark.parametrize("dates", REPEATED)
def test_of_several_publications_the_latest_counts_whatever_their_order(dates: str):
    """feedparser keeps the last element and what stands in front of markup: an evening's article is known at nine."""
    named = 'xmlns:t="http://purl.org/dc/terms/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:a="http://www.w3.org/2005/Atom"'
    body = feed(item(date=None).replace("</item>", f"{dates}</item>"), item("Second", SOON, link="https://n.example/b"))
    frame = run({"a": body.replace(b'"2.0"', f'"2.0" {named}'.encode())}).frame.set_index("title")
    late = datetime(2026, 9, 7, 22, tzinfo=timezone.utc)
    assert frame["out_by"].to_dict() == {"Bitcoin rallies": late, "Second": late.replace(hour=9)}


def test_two_publications_of_which_one_is_not_understood_are_not_understood():
    for dates in (
        f"{SOON}</pubDate><pubDate>7. September abends",
        f"{SOON} <b>+ 13 h</b>",
        "10:00:00</pubDate><pubDate>" + LATE,
    ):
        record = one(feed(item(date=dates)))
        assert record["out_by"] == NOW and not record["dated"], dates


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
    bad = [item(date=None), item("Old", date="Mon, 07 Sep 1998 12:00:00 GMT"), item(title=" "),
           item(date="2026-11-24T12:00:01Z"), item(title="")]  # fmt: skip
    result = run({"a": feed(item(), item("Ahead", date="2026-11-24T12:00:00Z"), *bad)})
    assert list(result.frame["title"]) == ["Bitcoin rallies", "Ahead"] and result.missing == {}
    assert {(record.subject, record.reason): record.count for record in result.set_aside} == {
        ("a", "item without a title"): 2, ("a", "item without a date"): 1,
        ("a", "date before 2009"): 1, ("a", "date more than a day ahead"): 1,
    }  # fmt: skip


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


def sent(text: str, charset: str, header: str | None, declared: str | None = None, mark: bytes = b"") -> Reply:
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    document = f'{head}<rss version="2.0"><channel>{item(title=text)}</channel></rss>'
    kind = "application/rss+xml" + (f"; charset={header}" if header else "")
    return Reply(mark + document.encode(charset), headers={"Content-Type": kind})


@pytest.mark.parametrize(
    ("text", "charset", "header", "declared"),
    [
        ("Биткоин растет", "cp1251", "windows-1251", None),
        ("Биткоин растет", "cp1251", "windows-1251", "utf-8"),  # RFC 7303: the header counts before the declaration
        ("Биткоин растет", "utf-8", "utf-8", "windows-1251"),
        ("Биткоин растет", "koi8-r", '"KOI8-R"', None),
        ("Биткоин растет", "cp1251", "utf-8", "windows-1251"),  # the header cannot be true
        ("Биткоин растет", "utf-8", "utf8mb4", None),  # nor can this one
        ("Zürich – Börse", "utf-8", "ISO-8859-1", "UTF-8"),  # a server's default
        ("Zürich – Börse", "cp1252", "ISO-8859-1", None),  # as browsers read that name
        ("ビットコインが上昇", "shift_jis", "Shift_JIS", None),
        ("ビットコインが上昇", "euc_jp", "EUC-JP", None),
        ("比特币上涨", "gb18030", "gb2312", None),
        ("비트코인 상승", "cp949", "euc-kr", None),
        ("Zürich", "utf-16", None, "utf-16"),
        ("Zürich", "utf-16-le", "utf-16", "utf-16"),
        ("Zürich", "utf-16-be", None, None),
        ("Zürich", "utf-8-sig", "iso-8859-1", None),  # a mark counts before all
        ("Zürich", "utf-8", None, "utf-16"),  # written by a program that forgot to change it
    ],
)
def test_the_charset_is_found_wherever_it_stands(text: str, charset: str, header: str | None, declared: str | None):
    assert one(sent(text, charset, header, declared))["title"] == text


def test_one_foreign_letter_does_not_spoil_the_others():
    body = feed(item(title="Биткоин @ рост")).replace(b"@", b"\x93up\x94")
    assert one(body)["title"] == "Биткоин “up” рост"


def test_packed_bodies():
    body = feed(item())
    assert one(gzip.compress(body))["title"] == "Bitcoin rallies"
    half = len(body) // 2
    assert one(gzip.compress(body[:half]) + gzip.compress(body[half:]) + b"\0" * 100)["title"] == "Bitcoin rallies"
    assert "cut off" in fails(gzip.compress(body)[:-20])
    assert "broken gzip" in fails(b"\x1f\x8bnot really")
    assert "more than 64 MiB" in fails(gzip.compress(b"\0" * (65 << 20)))


@pytest.mark.parametrize(
    "junk",
    [
        "<script>window.x = '<b>'</script>", "<!-- cached </rss> <item> -->", "<br />\n<b>Notice</b>: x in /y.php",
        "\x00\x00", "</div></body>", "&nbsp;", "<?php echo 1 ?>", "<!DOCTYPE html>",
    ],
)  # fmt: skip
def test_junk_around_the_document_does_not_matter(junk: str):
    result = run({"a": junk.encode() + b"\n" + feed(item(), item("Second"))})
    assert list(result.frame["title"]) == ["Bitcoin rallies", "Second"] and result.set_aside == ()
    result = run({"a": feed(item(), item("Second")) + junk.encode()})
    assert list(result.frame["title"]) == ["Bitcoin rallies", "Second"] and result.set_aside == ()


def test_items_of_a_second_document_are_counted():
    result = run({"a": feed(item()) + feed(item("Second"), item("Third"))})
    assert list(result.frame["title"]) == ["Bitcoin rallies"]
    (record,) = result.set_aside
    assert (record.subject, record.reason, record.count) == ("a", "item of a second document behind the feed's end", 2)


def test_words_about_markup_are_words():
    for payload in ('<!ENTITY x SYSTEM "file">', "</rss> ends a feed, </item> an item", "<rss> begins one"):
        record = one(feed(item(summary=f"<![CDATA[<p>The payload: <code>{escape(payload)}</code></p>]]>")))
        assert record["summary"] == f"The payload: {payload}"
        assert one(feed(item(summary=f"<![CDATA[{payload} is one]]>"), item("Second"))  # not escaped: read as markup
                   .replace(b"<item>", b"<!-- " + payload.encode() + b" --><item>", 1)
                   .replace(escape("Second").encode(), b""))["title"] == "Bitcoin rallies"  # fmt: skip
    about = "How &lt;script&gt; tags and &lt;style&gt; blocks leak"
    words = "How <script> tags and <style> blocks leak"
    assert one(atom(f"<title>{about}</title><updated>2026-09-08T00:00:00Z</updated>"))["title"] == words
    assert one(atom(f"<title type='text'>{about}</title><updated>2026-09-08T00:00:00Z</updated>"))["title"] == words
    assert one(feed(item(title=about)))["title"] == words
    assert one(feed(item(title="A &lt;script&gt;x()&lt;/script&gt; B")))["title"] == "A B", "a whole one is markup"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/2026/a", "https://daily.example/2026/a"),
        ("//daily.example/a", "https://daily.example/a"),
        ("//cdn.example/a", "https://cdn.example/a"),
        ("story.html", "https://daily.example/story.html"),
        ("?id=7", "https://daily.example/news?id=7"),
        ("#post-7", "https://daily.example/news#post-7"),
        ("../a", "https://daily.example/a"),
        ("daily.example/a", "https://daily.example/a"),
        ("www.other.example/a", "https://www.other.example/a"),
        ("https://daily.example/a b", "https://daily.example/a%20b"),
        ("mailto:x@daily.example", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("ftp://daily.example/a", None),
    ],
)
def test_links_are_resolved_like_a_browser_does(link: str, expected: str | None):
    body = feed(item(link=link)).replace(b"<channel>", b"<channel><link>https://daily.example/news</link>")
    assert one(body)["url"] == expected


def test_a_link_is_relative_to_its_base_then_the_feeds_page_then_the_feed():
    entry = "<title>t</title><updated>2026-09-08T00:00:00Z</updated><link href='a'/>"
    based = atom(entry).replace(b"<entry>", b"<entry xml:base='https://base.example/x/'>")
    assert one(based)["url"] == "https://base.example/x/a"
    paged = atom(entry).replace(b"<entry>", b"<link href='https://page.example/'/><entry>")
    assert one(paged)["url"] == "https://page.example/a"
    assert one(atom(entry))["url"].startswith("http://127.0.0.1:")


def test_a_guid_that_is_no_address_is_none():
    record = one(feed(item(link="").replace("<link></link>", "<guid>12345</guid>")))
    assert record["url"] is None and record["guid"] == "12345"


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
    assert list(result.frame["out_by"]) == list(result.frame["published_at"]) and result.set_aside == ()
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
        articles, _ = parsed.feed(body, "fuzz", NOW)
    except SourceError as error:
        assert "\n" not in str(error)
    else:
        assert all(title for title, *_ in articles)
