# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what is made from the parameters: config/vpr.yaml and the table in docs/node.md."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from floppynet_vpr.parameters import SETTINGS, Setting

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config" / "vpr.yaml"
PAGE = ROOT / "docs" / "node.md"
WIDTH = 100

CONFIG_HEAD = """\
# Parameters of the place recognition node, all with their defaults. `make parameters` writes this.
# Use a copy: ros2 launch floppynet_vpr vpr.launch.py params_file:=<your file>
# (live) marks those that `ros2 param set /vpr <name> <value>` changes while the node runs.
/**:
  ros__parameters:
"""


def config_text() -> str:
    """The node's parameter file."""
    return CONFIG_HEAD + "\n".join(map(_config_entry, SETTINGS))


def _config_entry(setting: Setting) -> str:
    comment = textwrap.wrap(
        setting.text,
        WIDTH,
        initial_indent="    # ",
        subsequent_indent="    # ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    values = f"{setting.values}{' (live)' if setting.live else ''}".strip()
    line = f"    {setting.name}: {setting.written_default}"
    return "\n".join([*comment, f"{line}  # {values}" if values else line, ""])


def with_table(page: str) -> str:
    """The page with its table of parameters as it should be."""
    rows = [
        "| parameter | default | values | |",
        "|---|---|---|---|",
        *(
            f"| `{setting.name}` | `{setting.written_default}` | {_values(setting)} | "
            f"{setting.summary}{' (live)' if setting.live else ''} |"
            for setting in SETTINGS
        ),
    ]
    table = re.compile(r"^\| parameter \|.*\n(\|.*\n)*", re.MULTILINE)
    return table.sub(lambda _: "\n".join(rows) + "\n", page, count=1)


def _values(setting: Setting) -> str:
    if setting.choices or isinstance(setting.default, bool):
        return ", ".join(f"`{choice}`" for choice in setting.values.split(", "))
    return setting.values


def main() -> None:
    """Write both files."""
    for path, text in ((CONFIG, config_text()), (PAGE, with_table(PAGE.read_text("utf-8")))):
        path.write_text(text, "utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
