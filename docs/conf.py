# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes a site of these pages: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "floppynet_vpr"
author = "The floppynet_vpr authors"
copyright = "2026, The floppynet_vpr authors"
release = re.search(r'version="([\d.]+)"', (ROOT / "setup.py").read_text("utf-8"))[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["examples"]
html_theme = "furo"
html_title = f"floppynet_vpr {release}"
html_static_path: list[str] = []

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# The signatures are read without the libraries behind them.
autodoc_mock_imports = [
    *("cv2", "faiss", "flatbuffers", "geographiclib", "gtsam", "llvmlite", "matplotlib"),
    *("onnxruntime", "rosbags", "scipy", "sklearn", "tflite", "threadpoolctl", "torch", "tqdm"),
    "yaml",
]
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
