# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Processes in which libraries are not installed."""

from __future__ import annotations

import os
from pathlib import Path

_STAND_IN = "raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"


def without(folder: Path, *names: str) -> dict[str, str]:
    """Make the environment of a process that does not find these libraries."""
    for name in names:
        (folder / f"{name}.py").write_text(_STAND_IN.format(name=name))
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
