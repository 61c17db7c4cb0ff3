"""The page at ``/docs``: the OpenAPI document as one page of HTML, without scripts and without another server."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from crypto_assets.lazy import lazy

if TYPE_CHECKING:
    import jinja2
else:
    jinja2 = lazy("jinja2")

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ info.title }} {{ info.version }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
code, pre { font: 14px/1.5 ui-monospace, monospace; background: #f3f3f1; padding: .1em .3em }
pre { padding: .7em; overflow-x: auto } h3 code { font-size: 1.05em } h3 { margin-top: 2.2em }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .3em .6em; border-bottom: 1px solid #ddd }
b { color: #0a5; text-transform: uppercase }
</style></head><body>
<h1>{{ info.title }} {{ info.version }}</h1>
<p>{{ info.summary }} {{ info.description }}</p>
<p>Send a token as <code>Authorization: Bearer TOKEN</code>. The machine-readable form of this page is
<a href="openapi.json">openapi.json</a>. An error is a problem document: <code>detail</code> says what is wrong and what to do.</p>
{% for tag, operations in groups.items() %}<h2>{{ tag }}</h2>
{% for one in operations %}<h3><b>{{ one.method }}</b> <code>{{ one.path }}</code></h3>
<p>{{ one.summary }}.</p>
{% if one.parameters %}<table><tr><th>parameter</th><th>in</th><th>form</th><th>means</th></tr>
{% for p in one.parameters %}<tr><td><code>{{ p.name }}</code></td><td>{{ p["in"] }}{{ ", required" if p.required }}</td>
<td>{{ p.form }}</td><td>{{ p.description or p.schema.description or "" }}</td></tr>
{% endfor %}</table>{% endif %}
{% if one.body %}<p>Body (<code>application/json</code>):</p><pre>{{ one.body }}</pre>{% endif %}
<table><tr><th>status</th><th>when</th><th>as</th></tr>
{% for status, said in one.responses.items() %}<tr><td>{{ status }}</td><td>{{ said.description }}</td>
<td>{{ (said.content or {}) | join(", ") }}</td></tr>
{% endfor %}</table>
{% endfor %}{% endfor %}</body></html>
"""
EXAMPLES = {
    "/v1/features/historical": '{"entities": [{"symbol": "BTC", "ts": "2024-01-02T10:17:00Z"}], "columns": ["rsi_14"]}',
}


def add_page(app: FastAPI) -> None:
    """Add the page to a gateway."""

    @cache
    def page() -> str:
        return render(app.openapi())

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page(), headers={"Content-Security-Policy": POLICY})


def render(document: dict[str, Any]) -> str:
    """Write an OpenAPI document as a page.

    Args:
        document: the document.

    Returns:
        The page, in HTML.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            parameters = [{**one, "form": _form(one["schema"])} for one in said.get("parameters", ())]
            one = {**said, "path": path, "method": method, "parameters": parameters, "body": EXAMPLES.get(path)}
            groups.setdefault(said["tags"][0], []).append(one)
    template = jinja2.Environment(autoescape=True).from_string(_PAGE)
    return str(template.render(info=document["info"], groups=groups))


def _form(schema: dict[str, Any]) -> str:
    kinds = [one.get("type", "") for one in schema.get("anyOf", [schema])]
    return " or ".join(kind for kind in kinds if kind != "null")
