"""The lock files hold what setup.py asks for, by hash, for everyone; the licence list and the SBOM hold the same."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from crypto_assets_tests.install import FOLDER, script

licences = script("licences")
ROOT = FOLDER.parent
LOCKS = sorted(FOLDER.glob("requirements*.txt"))
RUN, TEST = FOLDER / "requirements.txt", FOLDER / "requirements-test.txt"


def pins(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==(\S+)", line):
            found.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return found


def asked_for(name: str) -> list[Requirement]:
    """The requirements in a list of setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return [Requirement(text) for text in ast.literal_eval(node.value)]
    raise AssertionError(name)


def test_there_is_a_lock_file_for_running_tests_model_and_build() -> None:
    assert {lock.stem for lock in LOCKS} == {
        "requirements", "requirements-test", "requirements-model", "requirements-build",
    }  # fmt: skip


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_pin_has_hashes_and_no_address_is_named(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) >= len(pins(lock)) > 0
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize(("names", "lock"), [("REQUIRES", RUN), ("REQUIRES", TEST), ("DEV", TEST), ("DOCS", TEST)])
def test_the_lock_files_hold_what_setup_asks_for(names: str, lock: Path) -> None:
    found = pins(lock)
    for wanted in asked_for(names):
        versions = found.get(canonicalize_name(wanted.name), set())
        assert versions and all(version in wanted.specifier for version in versions), f"{wanted}: run make lock"


def test_tests_run_with_the_versions_that_users_get() -> None:
    run, test = pins(RUN), pins(TEST)
    assert {name: test.get(name) for name in run} == run


def test_the_demo_installs_no_test_tool() -> None:
    tools = {canonicalize_name(tool.name) for tool in asked_for("DEV") + asked_for("DOCS")}
    assert not tools & set(pins(RUN)) - {"pyyaml"}  # Dagster's


def test_the_licence_list_is_of_the_lock_files() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([A-Za-z0-9._-]+) \| (\S+)[^|]*\| ([^|]+) \| (running|tests|installing) \|$", page, re.MULTILINE
    )
    locked = {lock: {(p.name, p.version) for p in licences.packages(lock)} for lock in LOCKS}
    listed = {(name, version): purpose for name, version, _, purpose in rows}
    assert set(listed) == locked[RUN] | locked[TEST] | locked[FOLDER / "requirements-build.txt"], "run make licences"
    assert {pin for pin, purpose in listed.items() if purpose == "running"} == locked[RUN]
    assert [name for name, _, licence, purpose in rows if purpose == "running" and licence == licences.UNKNOWN] == []


def test_the_bill_of_materials_is_of_what_runs() -> None:
    document = json.loads((ROOT / "docs" / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    components = document["components"]
    assert {(c["name"], c["version"]) for c in components} == {(p.name, p.version) for p in licences.packages(RUN)}
    assert all(c["purl"] == f"pkg:pypi/{c['name']}@{c['version']}" == c["bom-ref"] for c in components)
    assert all(c["licenses"][0]["license"]["name"] for c in components)


def test_a_licence_is_read_from_what_a_package_says() -> None:
    from email.message import Message

    def said(**fields: str | list[str]) -> str:
        message = Message()
        for name, value in fields.items():
            for one in value if isinstance(value, list) else [value]:
                message[name.replace("_", "-")] = one
        return licences.licence_of(message)

    assert said(License_Expression="MIT", License="other") == "MIT"
    assert said(License="BSD") == "BSD"
    whole = "MIT License\n" + "Permission is hereby granted " * 20
    assert (
        said(License=whole, Classifier=["License :: OSI Approved", "License :: OSI Approved :: MIT License"])
        == "MIT License"
    )
    assert said(License=whole) == "MIT License"
    assert said() == "not stated"
