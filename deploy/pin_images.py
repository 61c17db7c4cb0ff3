#!/usr/bin/env python3
"""Pin every foreign image of ``deploy/`` to the digest that its tag has now: ``python3 deploy/pin_images.py [--check]``.

Run it where the registries can be reached: it asks them through ``docker buildx imagetools inspect``, which needs no
daemon. ``name:tag`` becomes ``name:tag@sha256:…``; an image that has a digest gets its tag's present one. To renew an
image, change its tag and run this again. ``--check`` changes nothing and fails where a digest is missing or old.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent
OURS = "crypto-assets"  # built from this repository; its digest is known only after the build
PATTERN = re.compile(
    r"(?P<before>^\s*(?:-\s+)?image:\s*|^ARG [A-Z]+=)(?P<name>[\w./-]+:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?\s*$",
    re.MULTILINE,
)


class Refusal(Exception):
    """A digest cannot be found; the message is one sentence."""


def files(folder: Path) -> list[Path]:
    """Return the files below a folder that may name images: manifests, Compose files and Dockerfiles."""
    return sorted(path for path in folder.rglob("*") if path.suffix == ".yaml" or path.name == "Dockerfile")


def foreign(text: str) -> list[str]:
    """Return the images that a file names as ``name:tag``, without our own."""
    return [found["name"] for found in PATTERN.finditer(text) if OURS not in found["name"]]


def digest(image: str) -> str:
    """Ask the registry for the digest of a tag.

    Args:
        image: ``name:tag``.

    Returns:
        ``sha256:…`` of the image or, where there are several platforms, of their index.

    Raises:
        Refusal: docker is missing, or the registry does not answer or does not have the image.
    """
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Refusal("docker is not installed; it asks the registries") from None
    found = done.stdout.strip()
    if done.returncode or not re.fullmatch(r"sha256:[0-9a-f]{64}", found):
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Refusal(
            f"no digest of {image} ({' '.join(last) or 'no answer'}); run this where its registry is reachable"
        )
    return found


def pinned(text: str, digests: dict[str, str]) -> str:
    """Return a file's text with the digests behind its images."""

    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        return f"{found['before']}{name}@{digests[name]}" if name in digests else found[0]

    return PATTERN.sub(replaced, text)


def main(arguments: list[str], folder: Path = DEPLOY) -> int:
    """Pin the images of a folder, or check them.

    Args:
        arguments: ``--check`` or nothing.
        folder: what to look through.

    Returns:
        0: every image has its present digest now. 1: with ``--check``, one has not. 2: a digest cannot be found; nothing
        was written.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in files(folder)}
    images = sorted({image for text in texts.values() for image in foreign(text)})
    try:
        digests = {image: digest(image) for image in images}
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    wrong = {path: new for path, text in texts.items() if (new := pinned(text, digests)) != text}
    for path, text in wrong.items():
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        print(f"{'not pinned' if '--check' in arguments else 'pinned'}: {path.relative_to(folder)}")
    return 1 if wrong and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
