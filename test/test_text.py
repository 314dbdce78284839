# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Names of any bytes pass through commands, maps and the node, and are shown readably."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.text import shown

FOLDER = os.fsdecode(b"day\xe9")


def test_text_is_shown_as_it_is_and_bytes_that_are_no_utf_8_by_their_numbers() -> None:
    assert shown("Stra\u00dfe \u8857") == "Stra\u00dfe \u8857"
    assert shown(os.fsdecode(b"stra\xdf\xe91.jpg")) == r"stra\xdf\xe91.jpg"
    assert shown("\ud800") == r"\ud800"


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures; it and they have names in Latin-1."""
    from node_harness import view

    folder = tmp_path_factory.mktemp("drive") / FOLDER
    folder.mkdir()
    for number in range(4):
        coded = cv2.imencode(".jpg", view(number)[..., ::-1])[1].tobytes()
        (folder / os.fsdecode(b"stra\xdfe%d.jpg" % number)).write_bytes(coded)
    return folder


def run(encoding: str, command: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"floppynet_vpr.commands.{command}", *map(str, words)],
        env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_commands_take_files_of_any_name_and_any_terminal(
    encoding: str, drive: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / os.fsdecode(b"ma\xdf.fvm"), tmp_path / "other.fvm"
    rest = tmp_path / "rest"
    shutil.copytree(drive, rest)
    min(rest.iterdir()).unlink()
    for words, told in (
        (("build_map", drive, "-o", first), r"wrote {}/ma\xdf.fvm: 4 places"),
        (("build_map", rest, "-o", second), "3 frames"),
        (("map_info", first, "--plot", tmp_path / "plot.svg"), "4"),
        (("merge_maps", first, second, "-o", tmp_path / "both.fvm"), r"ma\xdf: 4 places"),
        (
            ("map_info", tmp_path / "both.fvm", "--plot", tmp_path / "both.svg"),
            r"session      ma\xdf, 4 places",
        ),
        (("make_bag", drive, tmp_path / "bag"), "4 messages"),
        (("calibrate", first, drive, "--precision", 0.5), r"day\xe9: 4 frames"),
        (
            (
                "evaluate",
                "--query",
                drive,
                "--reference",
                drive,
                "--tolerance",
                1,
                "-o",
                tmp_path / FOLDER,
            ),
            r"day\xe9/report.html",
        ),
        (("map_info", tmp_path / os.fsdecode(b"no\xdf.fvm")), r"no\xdf.fvm: No such file"),
    ):
        done = run(encoding, *(str(word) for word in words))
        assert "Traceback" not in done.stderr, done.stderr
        assert told.format(tmp_path) in done.stdout + done.stderr
    names = [place.name for place in ReferenceMap.load(first).places]
    assert [os.fsencode(name) for name in names] == [b"stra\xdfe%d.jpg" % n for n in range(4)]


def test_the_node_takes_maps_and_places_of_any_name(
    start_node: Any, client: Any, tmp_path: Path
) -> None:
    from node_harness import image_message, picture

    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    reference.add(extractor.describe(picture(0)), os.fsdecode(b"stra\xdfe0.jpg"))
    (tmp_path / FOLDER).mkdir()
    reference.save(tmp_path / FOLDER / "map.fvm")
    link = tmp_path / "maps"  # parameters are UTF-8, but what they lead to may not be
    link.symlink_to(tmp_path / FOLDER)
    node = start_node(
        mode="both",
        save_map_to=link / "map.fvm",
        matching="rigid",
        sequence="none",
        threshold=0.5,
    )
    node.wait_for_log(rf"the map will be saved to {tmp_path}/day\xe9/map.fvm")
    client.image_publisher().publish(image_message(picture(0), 1))
    answer = client.wait_for_answers(1)[0]
    assert answer.detected
    assert answer.candidates[0].place == r"stra\xdfe0.jpg"
    assert node.stop() == 0


def test_a_parameter_that_is_no_utf_8_is_told_to_be_none() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    words = [sys.executable, "-m", "floppynet_vpr.ros.start_node", "--ros-args", "-p"]
    done = subprocess.run([*words, os.fsdecode(b"map:=ma\xdf.fvm")], capture_output=True)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: ROS 2 cannot start: ") and r"map:=ma\xdf.fvm is no UTF-8" in line
