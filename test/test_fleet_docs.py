# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What docs/fleet.md says to type works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import pytest
from node_harness import view

from floppynet_vpr.fleet import schema
from floppynet_vpr.fleet.connection import connect
from floppynet_vpr.fleet.map_url import parse_url

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "fleet.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_of_the_page_work_in_its_order(postgres: Any, tmp_path: Path) -> None:
    folder = tmp_path / "lap_1"
    folder.mkdir()
    for number in range(30):
        cv2.imwrite(str(folder / f"{number:03}.png"), view(number)[:, :, ::-1])
    with closing(connect(parse_url(postgres.url("any")))) as connection:
        connection.execute("CREATE ROLE robot LOGIN")
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    assert len(lines) >= 5
    told = ""
    for line in lines:
        words = shlex.split(line.replace("@localhost/", f"@127.0.0.1:{postgres.port}/"))
        assert words[:3] == ["ros2", "run", "floppynet_vpr"], line
        done = subprocess.run(
            [sys.executable, "-m", f"floppynet_vpr.commands.{words[3]}", *words[4:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        told += done.stdout
    assert "street: 30 places in 1 sessions" in told


def test_the_python_of_the_page_works(postgres: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python")
    exec(compile(program, "docs/fleet.md", "exec"), {})
    assert re.match(
        r"postgresql://postgres@127.0.0.1:\d+/fleet\?map=street", capsys.readouterr().out
    )


def test_the_page_names_every_table() -> None:
    tables = re.findall(r"CREATE TABLE floppynet_vpr\.(\w+)", schema._TABLES)
    assert len(tables) == 6
    assert [table for table in tables if f"`{table}`" not in PAGE] == []
