# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A frame that cannot be decoded costs that frame, and is told; no command ends for it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import build_map, make_bag
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.mapping import ReferenceMap


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures, the second of which is empty and the fourth cut off."""
    images = tmp_path / "images"
    images.mkdir()
    for index in range(5):
        small = np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(images / f"{index}.jpg"), cv2.resize(small, (160, 120)))
    (images / "1.jpg").write_bytes(b"")
    (images / "3.jpg").write_bytes((images / "3.jpg").read_bytes()[:900])
    return images


def test_a_map_is_built_of_what_can_be_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "map.fvm"
    assert build_map.main([str(folder), "-o", str(output), "--rate", "1"]) == 0
    places = ReferenceMap.load(output).places
    assert [(place.name, place.stamp_ns // 10**9) for place in places] == [
        ("0.jpg", 0),
        ("2.jpg", 2),
        ("4.jpg", 4),
    ]
    told = capsys.readouterr().err
    assert "1.jpg" in told and "3.jpg" in told and "could not be used: 2" in told


def test_strict_ends_at_the_first(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, output in ((build_map, ["-o", "map.fvm"]), (make_bag, ["bag"])):
        words = [str(tmp_path / word) if word != "-o" else word for word in output]
        assert command.main([str(folder), *words, "--strict"]) == 1
        assert "1.jpg" in capsys.readouterr().err
        assert not (tmp_path / output[-1]).exists()


def test_a_bag_is_made_of_what_can_be_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / "bag"
    assert make_bag.main([str(folder), str(bag), "--rate", "1", "--start-time", "100"]) == 0
    assert [frame.stamp_ns // 10**9 for frame in open_source(bag)] == [100, 102, 104]
    assert "could not be used: 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["one_bad_jpeg", "one_empty_jpeg", "first_bad_raw"])
def test_bags_with_a_bad_message_become_maps(name: str, data_dir: Path, tmp_path: Path) -> None:
    bag = data_dir / "field" / name
    output = tmp_path / "map.fvm"
    assert build_map.main([str(bag), "-o", str(output)]) == 0
    assert len(ReferenceMap.load(output)) == len(open_source(bag)) - 1
