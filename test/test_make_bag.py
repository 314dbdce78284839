# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""make_bag writes the bag it was asked for, and says what it wrote and how to see it."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands.make_bag import build_parser, main
from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.sources import open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images whose names sort wrongly as text."""
    lap = tmp_path / "lap"
    lap.mkdir()
    for index in range(12):
        pixels = np.full((8, 10, 3), index, np.uint8)
        (lap / f"image{index}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return lap


def order(bag: Path) -> list[int]:
    return [int(frame.rgb[0, 0, 0]) for frame in open_source(bag)]


def test_a_folder_becomes_a_bag_in_natural_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / "bags" / "day"
    assert main([str(folder), str(bag), "--rate", "4", "--start-time", "100.5"]) == 0
    assert order(bag) == list(range(12))
    stamps = [frame.stamp_ns for frame in open_source(bag)]
    assert stamps == [100_500_000_000 + 250_000_000 * index for index in range(12)]
    printed = capsys.readouterr().out
    for fact in (str(bag), "12 messages", "/camera/image_raw", "2.8 s", "MiB"):
        assert fact in printed
    assert f"ros2 bag play {bag}" in printed and f"play_bag {bag}" in printed


@pytest.mark.parametrize("storage, suffix", [("sqlite3", ".db3"), ("mcap", ".mcap")])
@pytest.mark.parametrize("codec", ["jpeg", "png"])
def test_compressed_bags_in_either_storage(
    folder: Path, tmp_path: Path, storage: str, suffix: str, codec: str
) -> None:
    bag = tmp_path / "day"
    options = ["--storage", storage, "--compressed", codec, "--every", "5"]
    assert main([str(folder), str(bag), *options]) == 0
    assert (bag / f"day{suffix}").is_file()
    assert BagFrames(bag).topic == "/camera/image_raw/compressed"
    assert np.abs(np.array(order(bag)) - [0, 5, 10]).max() <= (0 if codec == "png" else 2)


def test_without_a_start_time_the_bag_is_of_now(folder: Path, tmp_path: Path) -> None:
    before = time.time_ns()
    assert main([str(folder), str(tmp_path / "day"), "--topic", "/front", "--every", "12"]) == 0
    (frame,) = BagFrames(tmp_path / "day", topic="/front")
    assert before <= frame.stamp_ns <= time.time_ns()


def test_an_existing_bag_is_replaced_only_by_force(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / "day"
    assert main([str(folder), str(bag)]) == 0
    assert main([str(folder), str(bag), "--every", "6"]) == 1
    assert "error:" in capsys.readouterr().err and len(order(bag)) == 12
    assert main([str(folder), str(bag), "--every", "6", "--force"]) == 0
    assert order(bag) == [0, 6]


def test_an_unreadable_image_is_named_and_leaves_no_bag(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "image7.png").write_bytes(b"damaged")
    assert main([str(folder), str(tmp_path / "day"), "--strict"]) == 1
    assert "image7.png" in capsys.readouterr().err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lap"]


def test_of_a_bag_every_nth_image_is_taken_with_its_stamp_and_topic(
    folder: Path, tmp_path: Path
) -> None:
    main([str(folder), str(tmp_path / "day"), "--topic", "/front", "--start-time", "50"])
    words = ["--every", "3", "--topic", "front", "--compressed", "png"]
    assert main([str(tmp_path / "day"), str(tmp_path / "thin"), *words]) == 0
    assert BagFrames(tmp_path / "thin").topic == "/front/compressed"
    stamps = [frame.stamp_ns for frame in open_source(tmp_path / "thin")]
    assert stamps == [frame.stamp_ns for frame in open_source(tmp_path / "day", every=3)]


@pytest.mark.parametrize(
    "wrong",
    [["--rate", "0"], ["--every", "0"], ["--start-time", "-1"], ["--compressed", "webp"]],
    ids=" ".join,
)
def test_senseless_options_end_with_status_2(
    folder: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(folder), "out", *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_help_shows_examples_and_defaults() -> None:
    text = build_parser().format_help()
    assert "ros2 run floppynet_vpr make_bag" in text
    assert "(default: 10.0)" in text and "(default: sqlite3)" in text
