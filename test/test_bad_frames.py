# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A frame that cannot be decoded or is missing costs that frame, and is told; no command ends."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import build_map, calibrate, make_bag
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.frames import Frame, decoded
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.imaging.payload import ImageError
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


@pytest.fixture(params=["video", "sqlite3", "mcap", "promise"])
def short(request: pytest.FixtureRequest, tmp_path: Path, folder: Path) -> Path:
    """A source that gives fewer frames than it promises, since its end is gone."""
    shades = [np.full((120, 160, 3), 10 * index, np.uint8) for index in range(20)]
    if request.param == "video":
        video = tmp_path / "drive.avi"
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
        if not writer.isOpened():
            pytest.skip("this OpenCV cannot write a video")
        for picture in shades:
            writer.write(picture)
        writer.release()
        os.truncate(video, video.stat().st_size // 2)
        return video
    noise = np.random.default_rng(0).integers(0, 256, (60, 120, 160, 3), np.uint8)
    frames = [Frame(str(index), 10**8 * index, rgb) for index, rgb in enumerate(noise)]
    bag = tmp_path / "bag"
    write_bag(frames, bag, storage="mcap" if request.param == "mcap" else "sqlite3")
    if request.param == "promise":
        metadata = bag / "metadata.yaml"
        metadata.write_text(metadata.read_text().replace("count: 60", "count: 64"))
        return bag
    if request.param == "sqlite3":
        with closing(sqlite3.connect(bag / "bag.db3")) as database, database:
            database.execute("DELETE FROM messages WHERE id > 33")
        return bag
    storage = bag / "bag.mcap"
    with storage.open("r+b") as file:  # a disk gone bad in the middle: head and tail stay
        file.seek(storage.stat().st_size // 2)
        file.write(bytes(storage.stat().st_size // 5))
    return bag


def test_a_source_with_fewer_frames_than_promised_tells_how_many(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promised = len(open_source(short))
    office, bag = tmp_path / "map.fvm", tmp_path / "made"
    assert build_map.main([str(short), "-o", str(office)]) == 0
    read = len(ReferenceMap.load(office))
    assert 0 < read < promised
    told = capsys.readouterr().err
    assert f"gave {read} of the {promised} " in told
    assert f"that should be there and are not: {promised - read}" in told
    assert make_bag.main([str(short), str(bag)]) == 0
    assert len(open_source(bag)) == read
    capsys.readouterr()
    for command, words in ((build_map, ["-o", str(office), "--force"]), (make_bag, [str(bag)])):
        before = {file: file.stat().st_mtime_ns for file in (office, bag)}
        assert command.main([str(short), *words, "--strict", "--force"]) == 1
        assert f"gave {read} of the {promised} " in capsys.readouterr().err
        assert before == {file: file.stat().st_mtime_ns for file in (office, bag)}


def test_only_frames_that_are_wanted_count_as_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, office = tmp_path / "bag", tmp_path / "map.fvm"
    pixels = np.zeros((8, 8, 3), np.uint8)
    write_bag([Frame(str(index), 10**8 * index, pixels) for index in range(20)], bag)
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("count: 20", "count: 24"))
    assert build_map.main([str(bag), "-o", str(office), "--every", "7"]) == 0
    assert len(ReferenceMap.load(office)) == 3  # 0, 7 and 14; 21 is missing
    assert "that should be there and are not: 1 " in capsys.readouterr().err


def test_whole_videos_are_not_called_short(data_dir: Path) -> None:
    """Their container's number of frames, 226, is a guess from 7.5 s at 30 Hz; there are 30."""
    source = open_source(data_dir / "field" / "uneven_times.mkv")
    assert len(list(source)) == 30


def test_an_unreadable_file_among_others_is_skipped(folder: Path, tmp_path: Path) -> None:
    (folder / "2.jpg").unlink()
    (folder / "2.jpg").symlink_to(folder / "2.jpg")  # a loop: even root cannot open it
    (folder / "6.jpg").write_bytes((folder / "4.jpg").read_bytes())
    names = []
    errors: list[ImageError] = []
    for frame in decoded(open_source(folder).pending(), 2, errors.append):
        names.append(frame.name)
    assert names == ["0.jpg", "4.jpg", "6.jpg"]


def test_calibrate_finds_out_before_the_work_that_the_truth_does_not_fit(
    folder: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, office = data_dir / "field" / "uneven_times.mkv", tmp_path / "map.fvm"
    assert build_map.main([str(video), "-o", str(office)]) == 0
    capsys.readouterr()
    for source, words, told in (
        (video, ["--truth", str(tmp_path / "none.csv")], "none.csv"),
        (folder, [], "has 5 frames and"),
    ):
        assert calibrate.main([str(office), str(source), *words]) == 1
        said = capsys.readouterr()
        assert told in said.err and "frames;" not in said.out
    # The video's container counts 226 frames; there are 30, as many as places.
    assert calibrate.main([str(office), str(video), "--precision", "0.1"]) == 0


@pytest.mark.parametrize("truth", [[], ["--truth", "truth.csv"]], ids=["by number", "by file"])
def test_calibrate_keeps_frames_and_places_together_where_a_frame_is_skipped(
    truth: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    for index in range(30):
        small = np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(images / f"{index}.jpg"), cv2.resize(small, (160, 120)))
    assert build_map.main([str(images), "-o", "map.fvm", "--storage", "float32"]) == 0
    (images / "4.jpg").write_bytes(b"damaged")
    pairs = "".join(f"{index},{index}\n" for index in range(30))
    Path("truth.csv").write_text(f"query,ref\n{pairs}", encoding="utf-8")
    words = ["map.fvm", str(images), "--tolerance", "0", *truth]
    assert calibrate.main([*words, "--strict"]) == 1
    assert "4.jpg" in capsys.readouterr().err
    assert calibrate.main(words) == 0
    out, err = capsys.readouterr()
    assert "none: best match right for 29 of 29" in out
    assert "4.jpg" in err and "could not be used: 1" in err
