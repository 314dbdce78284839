# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmark_laps` and the page on maps say what is so, and the page's commands work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_drives import street, unit

from floppynet_vpr.commands import benchmark_laps, build_map, map_info
from floppynet_vpr.detection.growth import SAME_LOOK, SAME_LOOK_RIGID, SURELY, GrowthOptions
from floppynet_vpr.evaluation.laps import Lap, drive_laps
from floppynet_vpr.mapping import ReferenceMap

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "maps.md").read_text("utf-8")
COMMANDS = {"benchmark_laps": benchmark_laps, "build_map": build_map, "map_info": map_info}


def commands() -> list[list[str]]:
    """The commands of the page, as words."""
    found = re.findall(r"^ *ros2 run floppynet_vpr (.*)$", PAGE, re.M)
    return [shlex.split(line) for line in found]


def write_frames(folder: Path, count: int) -> None:
    folder.mkdir()
    small = np.random.default_rng(1).integers(0, 256, (6, 250, 3), np.uint8)
    wide = cv2.resize(small, (5000, 120), interpolation=cv2.INTER_CUBIC)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03d}.png"), wide[:, 40 * number : 40 * number + 160])


def test_the_commands_of_the_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lap_1", "day_left", "day_right", "night_right"):
        write_frames(tmp_path / name, 110)  # 11 s: longer than what is not matched yet
    ran = []
    for name, *words in commands():
        if words == ["--markdown"]:  # ten laps take minutes
            benchmark_laps.build_parser().parse_args(words)
            continue
        assert COMMANDS[name].main(words) == 0, words
        ran.append(name)
    assert sorted(ran) == ["benchmark_laps", "build_map", "map_info", "map_info"]
    out = capsys.readouterr().out
    table = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("|")]
    assert [row[0].strip() for row in table[2:]] == ["day_left", "day_right", "night_right"] * 2
    places = [int(row[2]) for row in table[2:]]
    assert places[-1] == 6 * places[0], "without an end every lap adds its places"
    ended = [int(row[5]) for row in table[2:]]
    assert ended[-1] < 2 * ended[0]
    (session,) = ReferenceMap.load(tmp_path / "office.fvm").sessions
    assert (session.name, session.robot) == ("monday", "rover")
    assert (tmp_path / "place_3.jpg").read_bytes().startswith(b"\xff\xd8")


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    options = GrowthOptions()
    for text in (
        f"their distance is {SAME_LOOK} at most ({SAME_LOOK_RIGID} with rigid matching)",
        f"belief {SURELY} in one of the last ten",
        f"`max_looks` looks ({options.max_looks})",
        f"`max_places` places ({options.max_places:,};",
    ):
        assert text in PAGE.replace("\n", " ").replace("  ", " "), text


def test_laps_are_judged_by_where_they_were_driven() -> None:
    first = street(120, seed=3)
    again = unit(first + 0.3 * unit(np.random.default_rng(2).normal(size=first.shape)))
    laps = [
        Lap("first", first, np.arange(120.0)),
        Lap("again", again, np.arange(120.0)),
        Lap("told wrong", again, np.arange(120.0) + 1000),
    ]
    one, two, wrong = drive_laps(laps, GrowthOptions(0, 0), tolerance=4)
    assert (one.images, one.places, one.right) == (120, 120, 0)
    assert two.places == 240
    assert two.right >= 80
    assert wrong.right == 0
    assert wrong.detected >= 80
