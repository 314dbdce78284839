# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A bag gives back the frames it was written from, and never exists by halves."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.bags_reading import COMPRESSED, RAW, BagFrames
from floppynet_vpr.datasets.frames import Frame, open_source
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
        assert (connection.topic, connection.msgtype) == ("/camera/image", RAW)
        (_, received_ns, data), _ = reader.messages()
        message = STORE.deserialize_cdr(data, RAW)
    assert received_ns == START_NS
    assert message.header.frame_id == "camera_optical_frame"
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == divmod(START_NS, 10**9)
    assert (message.height, message.width, message.step) == (12, 17, 51)
    assert "version: 8" in (tmp_path / "bag/metadata.yaml").read_text()


def test_default_topics_are_those_of_image_transport(tmp_path: Path) -> None:
    assert write_bag(lap(1), tmp_path / "raw").topic == "/camera/image"
    assert write_bag(lap(1), tmp_path / "packed", encoding="png").topic == (
        "/camera/image/compressed"
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


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 10), st.sampled_from(STORAGES))
def test_every_nth_message(count: int, every: int, storage: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_bag(lap(count, 2, 2), Path(folder, "bag"), storage=storage)
        source = open_source(Path(folder, "bag"), every=every)
        stamps = [frame.stamp_ns for frame in source]
        assert len(source) == len(stamps)
        assert stamps == [100_000_000 * index for index in range(0, count, every)]


def write_topics(bag: Path, topics: list[tuple[str, str]], header_ns: int = 0) -> None:
    """Write a bag by hand: one 1 x 1 image, or an empty string, on each topic, received at 7 s."""
    types = STORE.types
    with Writer(bag, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for topic, msgtype in topics:
            connection = writer.add_connection(topic, msgtype, typestore=STORE)
            stamp = types["builtin_interfaces/msg/Time"](*divmod(header_ns, 10**9))
            header = types["std_msgs/msg/Header"](stamp, "camera")
            pixel = np.array([1, 2, 3], np.uint8)
            if msgtype == RAW:
                message = types[RAW](header, 1, 1, "rgb8", 0, 3, pixel)
            else:
                message = types["std_msgs/msg/String"]("hello")
            writer.write(connection, 7 * 10**9, STORE.serialize_cdr(message, msgtype))


def test_the_only_image_topic_is_found_among_others(tmp_path: Path) -> None:
    write_topics(tmp_path / "bag", [("/talk", "std_msgs/msg/String"), ("/cam", RAW)])
    source = BagFrames(tmp_path / "bag")
    assert source.topic == "/cam" and len(source) == len(list(source)) == 1


def test_several_image_topics_are_listed_and_one_can_be_named(tmp_path: Path) -> None:
    write_topics(tmp_path / "bag", [("/left", RAW), ("/right", RAW)])
    with pytest.raises(VprError, match="name one of: /left, /right"):
        open_source(tmp_path / "bag")
    for name in ("/right", "right"):
        assert [frame.rgb.tolist() for frame in open_source(tmp_path / "bag", topic=name)] == [
            [[[1, 2, 3]]]
        ]
    with pytest.raises(VprError, match="no image topic /rear; it has: /left, /right"):
        open_source(tmp_path / "bag", topic="/rear")


def test_a_bag_without_images_lists_what_it_has(tmp_path: Path) -> None:
    write_topics(tmp_path / "bag", [("/talk", "std_msgs/msg/String")])
    with pytest.raises(VprError, match="no image topic; its topics are: /talk"):
        open_source(tmp_path / "bag")


@pytest.mark.parametrize("header_ns, expected", [(0, 7 * 10**9), (5, 5)])
def test_the_time_of_recording_stands_in_for_an_empty_stamp(
    tmp_path: Path, header_ns: int, expected: int
) -> None:
    write_topics(tmp_path / "bag", [("/cam", RAW)], header_ns)
    assert [frame.stamp_ns for frame in open_source(tmp_path / "bag")] == [expected]


@pytest.mark.parametrize(
    "storage, mode",
    [
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
    ],
)
def test_bags_that_rosbag2_compressed_are_read(
    tmp_path: Path, storage: StoragePlugin, mode: CompressionMode
) -> None:
    frames = lap()
    write_bag(frames, tmp_path / "plain", start_ns=START_NS)
    packed = Writer(tmp_path / "packed", version=8, storage_plugin=storage)
    packed.set_compression(mode, CompressionFormat.ZSTD)
    with Reader(tmp_path / "plain") as reader, packed as writer:
        connection = writer.add_connection("/camera/image", RAW, typestore=STORE)
        for _, received_ns, data in reader.messages():
            writer.write(connection, received_ns, data)
    assert_same(tmp_path / "packed", frames)


@pytest.mark.parametrize("storage, suffix", [("sqlite3", "db3"), ("mcap", "mcap")])
def test_a_storage_file_stands_for_its_bag(tmp_path: Path, storage: str, suffix: str) -> None:
    write_bag(lap(), tmp_path / "bag", storage=storage)
    file = tmp_path / "bag" / f"bag.{suffix}"
    assert len(list(open_source(file))) == 5
    (tmp_path / "bag/metadata.yaml").unlink()
    assert len(list(open_source(file))) == 5
    with pytest.raises(VprError, match=r"no metadata\.yaml.*reindex"):
        open_source(tmp_path / "bag")


@pytest.mark.parametrize("storage, kept", [*product(STORAGES, [0.0, 0.3, 0.6, 0.99])])
def test_a_bag_cut_off_anywhere_is_named(tmp_path: Path, storage: str, kept: float) -> None:
    write_bag(lap(20, 60, 80), tmp_path / "bag", storage=storage)
    (file,) = (entry for entry in (tmp_path / "bag").iterdir() if entry.name != "metadata.yaml")
    os.truncate(file, int(kept * file.stat().st_size))
    with pytest.raises(VprError, match=r"bag .*cannot be read.*damaged or was cut off"):
        list(open_source(tmp_path / "bag"))


@pytest.mark.parametrize("text", ["", "rosbag2_bagfile_information: {version: 8}", ": ["])
def test_a_bag_with_damaged_metadata_is_named(tmp_path: Path, text: str) -> None:
    write_bag(lap(), tmp_path / "bag")
    (tmp_path / "bag/metadata.yaml").write_text(text)
    with pytest.raises(VprError, match=r"bag .*cannot be read"):
        open_source(tmp_path / "bag")


def test_an_undecodable_message_is_named_with_its_topic(tmp_path: Path) -> None:
    write_bag(lap(1), tmp_path / "plain")
    with (
        Reader(tmp_path / "plain") as reader,
        Writer(tmp_path / "bag", version=8) as writer,
    ):
        connection = writer.add_connection("/cam", RAW, typestore=STORE)
        (_, received_ns, data), *_ = reader.messages()
        message = STORE.deserialize_cdr(data, RAW)
        message.encoding = "32FC1"
        writer.write(connection, received_ns, STORE.serialize_cdr(message, RAW))
    with pytest.raises(VprError, match=r"message 0 of topic /cam of .*32FC1"):
        list(open_source(tmp_path / "bag"))


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
