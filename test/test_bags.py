# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A bag gives back the frames it was written from, and never exists by halves."""

import resource
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs rosbags (the extra bags)")

from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.bags_reading import COMPRESSED, RAW
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError

STORE = get_typestore(Stores.ROS2_HUMBLE)
START_NS = 1_700_000_000_123_456_789
STORAGES = ("sqlite3", "mcap")


def lap(count: int = 5, height: int = 12, width: int = 17) -> list[Frame]:
    """Frames of noise, a tenth of a second apart."""
    rng = np.random.default_rng(count)
    return [
        Frame(
            f"frame{index}",
            100_000_000 * index,
            rng.integers(0, 256, (height, width, 3), np.uint8),
        )
        for index in range(count)
    ]


def assert_same(bag: Path, frames: list[Frame], start_ns: int = START_NS) -> None:
    source = open_source(bag)
    read = list(source)
    assert len(source) == len(read) == len(frames)
    for index, (got, put) in enumerate(zip(read, frames, strict=True)):
        assert np.array_equal(got.rgb, put.rgb)
        assert got.stamp_ns == start_ns + put.stamp_ns
        assert got.name == f"{bag.name}#{index:06d}"


@pytest.mark.parametrize("encoding, storage", [*product(["bgr8", "rgb8", "png"], STORAGES)])
def test_lossless_bags_give_back_the_very_frames(
    tmp_path: Path, encoding: str, storage: str
) -> None:
    frames = lap()
    bag = write_bag(frames, tmp_path / "bag", encoding=encoding, storage=storage, start_ns=START_NS)
    assert_same(tmp_path / "bag", frames)
    assert bag.messages == 5 and bag.duration_ns == 400_000_000
    assert bag.size_bytes == sum(f.stat().st_size for f in (tmp_path / "bag").iterdir())
    assert bag.msgtype == (COMPRESSED if encoding == "png" else RAW)


def test_jpeg_bags_are_close_and_grey_bags_are_grey(tmp_path: Path) -> None:
    smooth = [
        Frame(frame.name, frame.stamp_ns, cv2.GaussianBlur(frame.rgb, (9, 9), 3))
        for frame in lap(3, 40, 60)
    ]
    write_bag(smooth, tmp_path / "jpeg", encoding="jpeg")
    for got, put in zip(open_source(tmp_path / "jpeg"), smooth, strict=True):
        assert np.abs(got.rgb.astype(int) - put.rgb).mean() < 3
    write_bag(smooth, tmp_path / "grey", encoding="mono8")
    for got, put in zip(open_source(tmp_path / "grey"), smooth, strict=True):
        grey = cv2.cvtColor(put.rgb, cv2.COLOR_RGB2GRAY)
        assert np.array_equal(got.rgb, np.stack([grey] * 3, axis=-1))


def test_messages_have_header_frame_id_and_the_humble_layout(tmp_path: Path) -> None:
    write_bag(lap(2), tmp_path / "bag", start_ns=START_NS)
    with Reader(tmp_path / "bag") as reader:
        (connection,) = reader.connections
        assert (connection.topic, connection.msgtype) == ("/camera/image_raw", RAW)
        (_, received_ns, data), _ = reader.messages()
        message = STORE.deserialize_cdr(data, RAW)
    assert received_ns == START_NS
    assert message.header.frame_id == "camera_optical_frame"
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == divmod(START_NS, 10**9)
    assert (message.height, message.width, message.step) == (12, 17, 51)
    assert "version: 8" in (tmp_path / "bag/metadata.yaml").read_text()


def test_default_topics_are_those_of_image_transport(tmp_path: Path) -> None:
    assert write_bag(lap(1), tmp_path / "raw").topic == "/camera/image_raw"
    assert write_bag(lap(1), tmp_path / "packed", encoding="png").topic == (
        "/camera/image_raw/compressed"
    )
    assert write_bag(lap(1), tmp_path / "own", topic="front/image_raw").topic == "/front/image_raw"


@pytest.mark.parametrize("codec, suffix", [("jpeg", ".jpg"), ("png", ".png")])
def test_files_of_the_wanted_codec_go_into_the_bag_unaltered(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    folder = tmp_path / "lap"
    folder.mkdir()
    for frame in lap(3, 40, 60):
        written, data = cv2.imencode(suffix, frame.rgb, [cv2.IMWRITE_JPEG_QUALITY, 40])
        assert written
        (folder / f"{frame.name}{suffix}").write_bytes(data.tobytes())
    images = list(open_source(folder))
    write_bag(images, tmp_path / "bag", encoding=codec, start_ns=START_NS)
    assert_same(tmp_path / "bag", images)
    for got, put in zip(open_source(tmp_path / "bag"), images, strict=True):
        assert got.encoded == put.encoded == (folder / put.name).read_bytes()


def test_deep_and_transparent_png_files_are_stored_as_plain_eight_bit_ones(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    for name, pixels in (
        ("deep.png", rng.integers(0, 65536, (9, 9, 3), np.uint16)),
        ("alpha.png", rng.integers(0, 256, (9, 9, 4), np.uint8)),
    ):
        (tmp_path / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    images = list(open_source(tmp_path))
    write_bag(images, tmp_path / "bag", encoding="png", start_ns=START_NS)
    assert_same(tmp_path / "bag", images)
    for frame in open_source(tmp_path / "bag"):
        assert frame.encoded is not None
        stored = cv2.imdecode(np.frombuffer(frame.encoded, np.uint8), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint8 and stored.shape == (9, 9, 3)


def test_a_gardens_point_folder_and_its_jpeg_bag_are_the_same_pixels(
    tmp_path: Path, data_dir: Path
) -> None:
    images = list(open_source(data_dir / "gardens_point" / "night_right", every=25))
    write_bag(images, tmp_path / "bag", encoding="jpeg", storage="mcap", start_ns=START_NS)
    assert_same(tmp_path / "bag", images)


def failing_after(frames: list[Frame], error: BaseException) -> Iterator[Frame]:
    yield from frames
    raise error


@pytest.mark.parametrize(
    "error", [VprError("a damaged image"), KeyboardInterrupt()], ids=["error", "Ctrl-C"]
)
@pytest.mark.parametrize("storage", STORAGES)
def test_nothing_is_left_of_a_bag_that_was_not_finished(
    tmp_path: Path, storage: str, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        write_bag(failing_after(lap(), error), tmp_path / "bag", storage=storage)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("room", [4_000, 100_000])
def test_no_room_for_a_bag_is_one_error_and_leaves_nothing(
    tmp_path: Path, storage: str, room: int
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(VprError, match=r"cannot write the bag .*bag"):
            write_bag(lap(50, 60, 80), tmp_path / "bag", storage=storage)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_the_old_bag_survives_a_failed_replacement(tmp_path: Path) -> None:
    frames = lap()
    write_bag(frames, tmp_path / "bag", start_ns=START_NS)
    with pytest.raises(VprError, match="damaged"):
        write_bag(failing_after([], VprError("damaged")), tmp_path / "bag", force=True)
    assert_same(tmp_path / "bag", frames)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag"]


def test_only_force_replaces_a_bag_and_nothing_replaces_anything_else(tmp_path: Path) -> None:
    write_bag(lap(2), tmp_path / "bag")
    with pytest.raises(VprError, match="exists already"):
        write_bag(lap(), tmp_path / "bag")
    write_bag(lap(), tmp_path / "bag", start_ns=START_NS, force=True)
    assert_same(tmp_path / "bag", lap())
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag"]
    (tmp_path / "home").mkdir()
    with pytest.raises(VprError, match="is no bag"):
        write_bag(lap(), tmp_path / "home", force=True)


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"encoding": "yuv422"}, "yuv422"),
        ({"storage": "rosbag"}, "rosbag"),
        ({"topic": "/camera image"}, "no topic name"),
        ({"start_ns": 2**31 * 10**9}, "outside ROS time"),
    ],
)
def test_senseless_arguments_are_refused(
    tmp_path: Path, arguments: dict[str, str], text: str
) -> None:
    with pytest.raises(VprError, match=text):
        write_bag(lap(), tmp_path / "bag", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_no_frames_make_no_bag(tmp_path: Path) -> None:
    with pytest.raises(VprError, match="no frames"):
        write_bag([], tmp_path / "bag")
    assert list(tmp_path.iterdir()) == []


def test_a_bag_named_like_a_storage_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VprError, match="would be a folder"):
        write_bag(lap(), tmp_path / "lap.mcap")
