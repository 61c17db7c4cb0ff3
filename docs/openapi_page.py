"""The HTTP reference as Markdown, from the OpenAPI document that the gateway itself serves."""

from __future__ import annotations

from typing import Any

from crypto_assets.gateway.app import build
from crypto_assets.settings import Settings

Document = dict[str, Any]
SUCCESS = "200"


def page_of_the_gateway() -> str:
    """Describe every route of the gateway.

    Returns:
        Markdown: one part a route, then the answers to what goes wrong, then the bodies' schemas.
    """
    # Building the application connects to nothing: neither the folder nor the database is there.
    document = build(Settings.from_env({}), "postgresql+psycopg2://127.0.0.1/none").openapi()
    return page(document)


def page(document: Document) -> str:
    """Describe the routes of an OpenAPI document, in its order.

    Args:
        document: OpenAPI 3.1.

    Returns:
        Markdown, headings from the second level on.
    """
    routes = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [_route(*route) for route in routes]
    schemas = document.get("components", {}).get("schemas", {})
    return "\n\n".join([*parts, _problems([operation for _, _, operation in routes]), *_schemas(schemas)]) + "\n"


def _route(method: str, path: str, operation: Document) -> str:
    lines = [f"## {method} {path}", f"{operation['summary']}."]
    if text := operation.get("description"):
        lines.append(text)
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{found['name']}`", found["in"], _type(found["schema"]), _sentence(found["schema"], found))
            for found in parameters
        ]
        lines.append(_table(("parameter", "in", "type", "meaning"), rows))
    if body := operation.get("requestBody"):
        ((media, content),) = body["content"].items()
        lines.append(f"Body: {_type(content['schema'])} as `{media}`.")
    formats = operation["responses"][SUCCESS].get("content", {})
    lines.append(f"Answers `{SUCCESS}` with {', '.join(f'`{media}`' for media in formats) or 'no body'}.")
    return "\n\n".join(lines)


def _problems(operations: list[Document]) -> str:
    """The answers other than success, each once with its meaning."""
    found = {
        code: answer["description"]
        for operation in operations
        for code, answer in operation["responses"].items()
        if code != SUCCESS
    }
    rows = [(f"`{code}`", text) for code, text in sorted(found.items())]
    return "## What goes wrong\n\n" + _table(("status", "meaning"), rows)


def _schemas(schemas: Document) -> list[str]:
    """One part a schema that a body has."""
    parts = []
    for name, schema in schemas.items():
        required = schema.get("required", [])
        rows = [
            (f"`{key}`", _type(field), "yes" if key in required else "no", _sentence(field, field))
            for key, field in schema.get("properties", {}).items()
        ]
        table = [_table(("field", "type", "required", "meaning"), rows)] if rows else []
        parts.append("\n\n".join([f"## {name}", schema.get("description", ""), *table]))
    return parts


def _type(schema: Document) -> str:
    """A schema's type in words; a named one is a link to its part."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    kind = schema.get("type", "any")
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _sentence(schema: Document, holder: Document) -> str:
    """What the document says of a parameter or field, with its bounds."""
    text = holder.get("description") or schema.get("description") or ""
    bounds = {"minimum": "from", "maximum": "to", "minItems": "at least", "maxItems": "at most", "default": "default"}
    return " ".join([text, *(f"{word} {schema[key]};" for key, word in bounds.items() if key in schema)]).strip(" ;")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table without the columns that have no text in any row."""
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    head, rows = _only(head, kept), [_only(row, kept) for row in rows]
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _only(cells: tuple[str, ...], places: list[int]) -> tuple[str, ...]:
    return tuple(cells[place] for place in places)
