# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes a site of these pages: `make docs`."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "floppynet_vpr"
author = "The floppynet_vpr authors"
copyright = "2026, The floppynet_vpr authors"
release = re.search(r'version="([\d.]+)"', (ROOT / "setup.py").read_text("utf-8"))[1]

GUIDES = (
    "pose_graph",
    "relocalisation",
    "depth",
    "cameras",
    "recognition",
    "maps",
    "other_networks",
)
"""The order of the guides on the first page; those that are not named here follow."""

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["examples"]
html_theme = "furo"
html_title = f"floppynet_vpr {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]

myst_heading_anchors = 3

# The signatures are read without the libraries behind them, but for numpy.
_TABLE = ast.parse((ROOT / "test" / "test_packaging.py").read_text("utf-8"))
autodoc_mock_imports = next(
    sorted({*ast.literal_eval(node.value)} - {"numpy"})
    for node in _TABLE.body
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "DEPENDENCIES"
)
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"


def list_guides(app: Sphinx, page: str, source: list[str]) -> None:
    """On the first page, put all pages that it does not name where it says `guides`."""
    if page != "index":
        return
    named = {*source[0].split(), "index"}
    others = {path.stem for path in Path(app.srcdir).glob("*.md")} - named
    guides = [*(name for name in GUIDES if name in others), *sorted(others - {*GUIDES})]
    source[0] = source[0].replace("\nguides\n", "\n" + "\n".join(guides) + "\n")


def setup(app: Sphinx) -> None:
    """Have Sphinx call what is above."""
    app.connect("source-read", list_guides)
