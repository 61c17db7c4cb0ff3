"""Sphinx reads this folder as the site: ``make site`` writes it to ``build/site``. Nothing is fetched, when built or read.

The pages are the Markdown files that one reads on GitHub as well. The Python reference comes from the docstrings, the HTTP
reference from the gateway's OpenAPI document, the notebooks with the outputs that are stored in them.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

from openapi_page import page_of_the_gateway

project = "crypto_assets"
author = "the authors of crypto_assets"
release = version = version_of("crypto_assets")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images", "notebooks/*.py"]

myst_heading_anchors = 4  # the same anchors as GitHub's
nb_execution_mode = "off"  # outputs are stored; docs/notebooks/execute.py writes them

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"When": "When", "AsOf": "AsOf"}
add_module_names = False

html_theme = "furo"
html_title = "crypto_assets"
html_show_copyright = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Let pages be completed when Sphinx reads them."""
    app.connect("source-read", _complete)


def _complete(app: Sphinx, name: str, source: list[str]) -> None:
    """Write the HTTP reference from the gateway, and put the pages of a folder below its README in the contents."""
    if name == "reference/http":
        source[0] += "\n" + page_of_the_gateway()
    if name.endswith("/README"):
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"
