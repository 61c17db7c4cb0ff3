"""Write ``docs/licences.md`` and ``docs/sbom.cdx.json`` (CycloneDX 1.6) from the lock files: ``make licences``.

Names and versions are those of the lock files, which also hold the hashes. Licences are what the installed packages say of themselves.
Packages that only Windows would get are left out: crypto_assets does not run there.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
RUN, TEST, BUILD = "requirements.txt", "requirements-test.txt", "requirements-build.txt"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.+?))? \\$")
UNKNOWN = "not stated"
LONG = 60  # a licence field that is longer holds the licence's whole text


@dataclass(frozen=True)
class Package:
    """One pinned version; ``marker`` says where it applies, empty: everywhere."""

    name: str
    version: str
    marker: str

    @property
    def purl(self) -> str:
        """The package URL, which names a version in a bill of materials."""
        return f"pkg:pypi/{self.name}@{self.version}"


def packages(lock: Path) -> list[Package]:
    """Read the pins of a lock file, without those of Windows alone."""
    pins = filter(None, map(PIN.match, lock.read_text(encoding="utf-8").splitlines()))
    found = [Package(pin[1], pin[2], pin[3] or "") for pin in pins]
    return [package for package in found if "== 'win32'" not in package.marker]


def licence(name: str) -> str:
    """Return what the installed package says: its SPDX expression, its licence field, or its classifiers."""
    try:
        said = distribution(name).metadata
    except PackageNotFoundError:
        return UNKNOWN
    return licence_of(said)  # type: ignore[arg-type]


def licence_of(said: Message) -> str:
    """Return the licence that a package's metadata states."""
    if expression := said.get("License-Expression"):
        return str(expression).strip()
    classifiers = [
        str(line).rsplit(" :: ", 1)[1] for line in said.get_all("Classifier") or () if line.startswith("License ::")
    ]
    classifiers = [line for line in classifiers if line != "OSI Approved"]
    field = str(said.get("License") or "").strip()
    if field and field.upper() != "UNKNOWN" and len(field) <= LONG and "\n" not in field:
        return field
    return " or ".join(classifiers) or (field.splitlines()[0][:LONG] if field else UNKNOWN)


def page(run: Iterable[Package], test: Iterable[Package], build: Iterable[Package]) -> str:
    """Return the text of docs/licences.md."""
    used = {package.name: "running" for package in run}
    rows = {package: used.get(package.name, "tests") for package in test} | dict.fromkeys(build, "installing")
    lines = [
        "# Licences of dependencies",
        "",
        "Written by `make licences` from the lock files in `install/`, whose versions a test holds it to. Licences are what",
        "the packages say of themselves. What runs, for programs: [sbom.cdx.json](sbom.cdx.json) (CycloneDX).",
        "",
        "| package | version | licence | needed for |",
        "|---|---|---|---|",
    ]
    for package, purpose in sorted(rows.items(), key=lambda row: (row[0].name, row[0].version)):
        where = f" ({package.marker})" if "python_full_version" in package.marker else ""
        lines.append(f"| {package.name} | {package.version}{where} | {licence(package.name)} | {purpose} |")
    return "\n".join(lines) + "\n"


def sbom(run: Iterable[Package]) -> dict[str, object]:
    """Return the bill of materials of what runs. Equal lock files give equal documents: it holds no time."""
    found = list(run)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, "".join(sorted(package.purl for package in found)))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "crypto_assets", "bom-ref": "crypto_assets"}},
        "components": [
            {
                "type": "library",
                "bom-ref": package.purl,
                "name": package.name,
                "version": package.version,
                "purl": package.purl,
                "licenses": [{"license": {"name": licence(package.name)}}],
            }
            for package in found
        ],
    }


def main() -> int:
    """Write both files; return the exit code."""
    run, test, build = (packages(HERE / name) for name in (RUN, TEST, BUILD))
    (DOCS / "licences.md").write_text(page(run, test, build), encoding="utf-8")
    (DOCS / "sbom.cdx.json").write_text(json.dumps(sbom(run), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
