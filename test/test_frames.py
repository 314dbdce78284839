# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Folders and videos give their frames in a person's order, and say clearly when they cannot."""

import os
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_user import as_nobody

from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.frames import natural_key
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError


def shade(value: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A picture with one value everywhere, so that any codec keeps it recognisable."""
    return np.full((height, width, 3), value, np.uint8)


def write_images(folder: Path, names: list[str]) -> list[int]:
    """Write pictures of shade 0, 10, 20, ... under the names."""
    folder.mkdir(parents=True, exist_ok=True)
    shades = [10 * index for index in range(len(names))]
    for name, value in zip(names, shades, strict=True):
        written, data = cv2.imencode(Path(name).suffix.lower(), shade(value))
        assert written
        (folder / name).write_bytes(data.tobytes())
    return shades


def test_image10_comes_after_image9() -> None:
    names = ["image10", "image9", "Image1", "image009b", "other", "image", "10", "9"]
    ordered = ["9", "10", "image", "Image1", "image9", "image009b", "image10", "other"]
    assert sorted(names, key=natural_key) == ordered


@given(st.lists(st.integers(0, 10**6), unique=True), st.sampled_from(["", "img_", "a1b"]))
def test_numbers_in_names_sort_as_numbers(numbers: list[int], prefix: str) -> None:
    names = [f"{prefix}{number}.png" for number in numbers]
    expected = [f"{prefix}{number}.png" for number in sorted(numbers)]
    assert sorted(names, key=natural_key) == expected


@given(st.lists(st.text(max_size=6)))
def test_any_names_have_one_order(names: list[str]) -> None:
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)


def test_a_folder_gives_every_kind_of_image_in_natural_order(tmp_path: Path) -> None:
    names = ["f1.png", "f2.JPG", "f3.bmp", "f9.webp", "f10.tif", "f11.ppm", "f100.jpeg"]
    shades = write_images(tmp_path, names)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._f1.png").write_bytes(b"what macOS leaves behind")
    source = open_source(tmp_path)
    frames = list(source)
    assert len(source) == len(names)
    assert [frame.name for frame in frames] == names
    for frame, value in zip(frames, shades, strict=True):
        assert frame.rgb.shape == (24, 32, 3) and frame.rgb.dtype == np.uint8
        assert np.abs(frame.rgb.astype(int) - value).max() <= 3
        assert frame.encoded == (tmp_path / frame.name).read_bytes()


def test_a_folder_is_stamped_by_its_rate_from_zero(tmp_path: Path) -> None:
    write_images(tmp_path, [f"{index}.png" for index in range(4)])
    stamps = [frame.stamp_ns for frame in open_source(tmp_path, rate_hz=30.0)]
    assert stamps == [0, 33_333_333, 66_666_667, 100_000_000]


@given(st.integers(1, 9), st.integers(1, 12))
def test_every_nth_frame_keeps_its_stamp_and_the_length_is_known(every: int, count: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), [f"{index}.bmp" for index in range(count)])
        source = open_source(Path(folder), every=every)
        frames = list(source)
        assert len(source) == len(frames)
        assert [frame.stamp_ns for frame in frames] == [
            10**8 * index for index in range(0, count, every)
        ]


def test_a_source_can_be_walked_along_twice(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"])
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == [frame.name for frame in source]


def test_images_are_read_only_when_their_turn_comes(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"])
    (tmp_path / "2.png").write_bytes(b"damaged")
    assert next(iter(open_source(tmp_path))).name == "1.png"


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"])
    cut_off = tmp_path / "2.png"
    cut_off.write_bytes(cut_off.read_bytes()[:50])
    with pytest.raises(VprError, match=r"2\.png"):
        list(open_source(tmp_path))


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(VprError, match=r"no images.*\.jpg"):
        open_source(tmp_path)


def test_a_folder_of_traverses_suggests_them(tmp_path: Path) -> None:
    write_images(tmp_path / "day10", ["1.png"])
    write_images(tmp_path / "day9", ["1.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(VprError, match=r"sub-folders: day9, day10$"):
        open_source(tmp_path)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VprError, match="nowhere does not exist"):
        open_source(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "argument, text",
    [({"every": 0}, "every"), ({"rate_hz": 0.0}, "rate"), ({"rate_hz": float("nan")}, "rate")],
)
def test_senseless_arguments_are_refused(
    tmp_path: Path, argument: dict[str, float], text: str
) -> None:
    write_images(tmp_path, ["1.png"])
    with pytest.raises(VprError, match=text):
        open_source(tmp_path, **argument)  # type: ignore[arg-type]


def test_a_topic_of_a_folder_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png"])
    with pytest.raises(VprError, match="no topic /camera/image"):
        open_source(tmp_path, topic="/camera/image")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Nine frames at 20 Hz, each of its own shade, as Motion JPEG."""
    file = tmp_path / "lap.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write a video")
    for index in range(9):
        picture = shade(25 * index, 48, 64)
        picture[..., 0] = 255  # blue, in OpenCV's order
        writer.write(picture)
    writer.release()
    return file


def test_a_video_gives_rgb_frames_stamped_by_its_own_rate(video: Path) -> None:
    source = open_source(video, rate_hz=1.0)
    frames = list(source)
    assert len(source) == len(frames) == 9
    assert [frame.name for frame in frames][:2] == ["lap.avi#000000", "lap.avi#000001"]
    assert [frame.stamp_ns for frame in frames] == [50_000_000 * index for index in range(9)]
    for index, frame in enumerate(frames):
        assert frame.rgb.shape == (48, 64, 3)
        assert np.abs(frame.rgb.astype(int) - [25 * index, 25 * index, 255]).max() <= 8


def test_every_nth_frame_of_a_video(video: Path) -> None:
    source = open_source(video, every=4)
    assert len(source) == 3
    assert [frame.name[-1] for frame in source] == ["0", "4", "8"]


@pytest.mark.parametrize("name", ["notes.txt", "clip.mp4"])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not a video " * 50)
    with pytest.raises(VprError, match=f"{name} is no video"):
        open_source(tmp_path / name)


def test_a_single_image_points_to_its_folder(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png"])
    with pytest.raises(VprError, match="name the folder"):
        open_source(tmp_path / "1.png")


def test_a_video_is_stamped_by_its_own_times(data_dir: Path, tmp_path: Path) -> None:
    """Fifteen frames every 33 ms, then one every half second: its rate, 30 Hz, tells nothing."""
    video = data_dir / "field" / "uneven_times.mkv"
    expected = [33 * index for index in range(16)] + [495 + 500 * index for index in range(1, 15)]
    assert [round(frame.stamp_ns / 1e6) for frame in open_source(video)] == expected
    bag = write_bag(open_source(video), tmp_path / "bag")
    assert bag.duration_ns == 7_495_000_000
    stamps = [frame.stamp_ns for frame in open_source(video, every=4)]
    assert [round(stamp / 1e6) for stamp in stamps] == expected[::4]


@pytest.mark.parametrize(
    "name", ["12:30.avi", "concat:a.avi", "a%03d.avi", "-i.avi", "stra\udcdfe.avi"]
)
def test_a_video_of_any_name_is_opened_from_its_own_folder(
    video: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(video.parent)
    video.rename(name)
    source = open_source(Path(name))
    assert len(list(source)) == 9 and source.label == name


def test_only_wanted_frames_of_a_video_are_given(video: Path) -> None:
    given = [load() for load in open_source(video).pending([2, 7])]
    assert [frame.name for frame in given] == ["lap.avi#000002", "lap.avi#000007"]
    assert [frame.stamp_ns for frame in given] == [100_000_000, 350_000_000]


@pytest.mark.parametrize("name", ["pipe", "pipe.mp4", "pipe.bag", "pipe.db3"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(VprError, match=rf"cannot read .*{name}: it is no file"):
        open_source(tmp_path / name)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_folder_that_may_not_be_read_is_named(mode: int) -> None:
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        folder = Path(above, "lap")
        write_images(folder, ["1.png"])
        folder.chmod(mode)
        try:
            with (
                as_nobody(),
                pytest.raises(VprError, match=r"cannot read .*lap: Permission denied"),
            ):
                open_source(folder)
        finally:
            folder.chmod(0o700)


def test_an_unreadable_folder_above_is_no_missing_one() -> None:
    with tempfile.TemporaryDirectory() as above:
        write_images(Path(above, "lap"), ["1.png"])
        with as_nobody() as dropped, pytest.raises(VprError) as caught:
            open_source(Path(above, "lap" if dropped else "nothing"))
        assert ("Permission denied" if dropped else "does not exist") in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 300, "null\0byte"])
def test_a_path_that_cannot_be_is_one_sentence(name: str) -> None:
    with pytest.raises(VprError, match="cannot read"):
        open_source(Path(name))


def test_of_frames_that_are_not_wanted_no_pixels_are_made(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = [], cv2.VideoCapture

    class Counting:
        def __init__(self, name: str) -> None:
            self._capture = real(name)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._capture, name)

        def retrieve(self) -> Any:
            made.append(1)
            return self._capture.retrieve()

    monkeypatch.setattr(cv2, "VideoCapture", Counting)
    assert len(list(open_source(video, every=4))) == len(made) == 3
    made.clear()
    assert len(list(open_source(video).pending([2, 7]))) == len(made) == 2
