"""The site builds without a warning, every link and anchor in it leads somewhere, and a reader's browser asks nobody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import crypto_assets
from crypto_assets.gateway.app import build
from crypto_assets.settings import Settings
from crypto_assets.store.store import Store
from crypto_assets.store.table import Table

pytest.importorskip("myst_nb", reason="the site is built by the packages of the extra docs")
pytest.importorskip("furo", reason="the site is built by the packages of the extra docs")
ROOT = Path(crypto_assets.__file__).parents[1]
DOCS = ROOT / "docs"
if not DOCS.is_dir():
    pytest.skip("an installed package has no docs folder", allow_module_level=True)

LOADED = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
}
NOT_LOADED = ("next", "prev", "canonical")  # links of a page's head that a browser does not follow


@dataclass
class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if LOADED.get(tag) in found and found.get("rel") not in NOT_LOADED:
            self.loads.append(found[LOADED[tag]])


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a warning fails. Every proxy is a closed port, so a request of the build fails too."""
    folder = tmp_path_factory.mktemp("site")
    closed = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    command = [
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        str(folder / "doctrees"),
        str(DOCS),
        str(folder / "site"),
    ]
    ended = subprocess.run([sys.executable, *command], env={**os.environ, **closed}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path.resolve(): read(path) for path in sorted(site.rglob("*.html"))}


def test_every_link_and_anchor_of_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme == "mailto" or parts.netloc, f"{path.name}: {link} is no address"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            lacks = parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            if not target.exists() or lacks:
                broken.append(f"{path.relative_to(site.resolve())}: {link}")
    assert not broken, broken


def test_a_browser_asks_no_other_host(site: Path, pages: dict[Path, Page]) -> None:
    elsewhere = {
        (path.name, load) for path, page in pages.items() for load in page.loads if "//" in load.split("data:")[0]
    }
    assert not elsewhere
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.findall(r"@import[^;]*//|url\(['\"]?(?:https?:)?//", text), sheet


def test_a_broken_anchor_and_a_foreign_script_would_be_found() -> None:
    page = Page()
    page.feed(
        '<h1 id="a">x</h1><a href="#b">y</a><script src="https://cdn.example/x.js"></script><link rel="next" href="z.html">'
    )
    assert (page.links, page.loads, page.anchors) == (["#b"], ["https://cdn.example/x.js"], {"a"})


def test_every_page_is_in_the_contents(pages: dict[Path, Page]) -> None:
    index = next(page for path, page in pages.items() if path.name == "index.html" and path.parent.name == "site")
    listed = {link.split("#")[0] for link in index.links}
    below = {f"{folder}/" for folder in ("runbooks", "decisions", "notebooks")}
    sources = [path.relative_to(DOCS) for suffix in ("md", "ipynb") for path in DOCS.rglob(f"*.{suffix}")]
    pages_of = {str(path.with_suffix(".html")) for path in sources} - {"index.html"}
    missing = {page for page in pages_of - listed if not page.startswith(tuple(below))}
    assert not missing, f"docs/index.md does not list {sorted(missing)}"


def test_the_references_are_of_the_code(pages: dict[Path, Page]) -> None:
    by_name = {"/".join(path.parts[-2:]): page for path, page in pages.items()}
    python = by_name["reference/python.html"].anchors
    public = [
        f"{kind.__module__}.{kind.__name__}.{name}" for kind in (Store, Table) for name in vars(kind) if name[0] != "_"
    ]
    assert len(public) > 15
    assert {name for name in [*public, "crypto_assets.open"] if name not in python} == set()
    document = build(Settings.from_env({}), "postgresql+psycopg2://127.0.0.1/none").openapi()
    text = next(path for path in pages if path.parts[-2:] == ("reference", "http.html")).read_text(encoding="utf-8")
    for route, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {route}" in text
            assert operation["summary"].replace("'", "’") in text or operation["summary"] in text
