"""One regular expression for many names, so that hundreds of them cost about as much as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

END = ""  # the end of a name, in a tree of letters


def either(names: Sequence[str]) -> str:
    """Build an alternative of literal names, where a blank matches any white space; it never matches without names.

    It is written as a tree of first letters with the longest name first, so that hundreds of names cost about as much
    as one.
    """
    tree: dict[str, Any] = {}
    for name in names:
        node = tree
        for letter in (*" ".join(name.split()), END):
            node = node.setdefault(letter, {})
    return _branches(tree) or r"(?!)"


def _branches(node: dict[str, Any]) -> str:
    """Build the pattern of everything below a letter; a name that ends here comes after the longer ones."""
    longer = [
        (r"\s+" if letter == " " else re.escape(letter)) + _branches(below)
        for letter, below in node.items()
        if letter != END
    ]
    if len(longer) + (END in node) <= 1:
        return "".join(longer)
    return f"(?:{'|'.join([*longer, *([''] if END in node else [])])})"
