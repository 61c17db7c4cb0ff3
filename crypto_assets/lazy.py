"""Modules that are imported when they are first used, so that a command pays only for what it needs.

Use it for a package that is slow to import and that most commands do not need (docs/architecture.md, "What is loaded
when"). Type checkers and editors must see the real module, hence two branches::

    if TYPE_CHECKING:
        import httpx
    else:
        httpx = lazy("httpx")
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def lazy(name: str) -> ModuleType:
    """Stand in for a module until it is used.

    Args:
        name: the dotted name of the module.

    Returns:
        A module whose attributes are those of the real one, which the first access imports.
    """
    return _Lazy(name)
