# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What docs/depth.md says holds; its offline commands run in test_close_loops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from floppynet_vpr.detection import relative_pose
from floppynet_vpr.parameters import INPUT_TOPICS, SETTINGS
from floppynet_vpr.synthetic import round_trip

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "depth.md").read_text("utf-8")
MESSAGE = (ROOT / "floppynet_vpr_msgs/msg/LoopClosureCandidate.msg").read_text("utf-8")


def test_launch_arguments_are_parameters_or_topics_of_the_node() -> None:
    used = set(re.findall(r"(\w+):=", re.sub(r"align_depth\.enable:=\w+", "", PAGE)))
    assert {"depth", "image", "mode"} <= used
    assert used <= {*INPUT_TOPICS, *(setting.name for setting in SETTINGS)}


def test_the_fields_are_those_of_the_message() -> None:
    for field in re.findall(r"`((?:transform|has_transform|bearing)\w*)`", PAGE):
        assert re.search(rf"^[\w/\[\]]+ {field}$", MESSAGE, re.M), field


def test_the_limits_are_those_in_force() -> None:
    assert f"fewer than {relative_pose.LEAST_INLIERS} corners agree" in PAGE


def test_the_program_writes_two_laps_with_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Any, Path, bool]] = []
    monkeypatch.setattr(
        round_trip,
        "write_round_trip",
        lambda trip, out, *, depth: written.append((trip, out, depth)),
    )
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(compile(program, "depth.md", "exec"), {})
    ((trip, out, depth),) = written
    assert (len(trip.laps), len(trip), out, depth) == (2, 320, Path("drive_bag"), True)
