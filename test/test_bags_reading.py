# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of every kind are read frame by frame, and what is wrong with one is said with its name."""

import os
import resource
import shutil
import sqlite3
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from other_user import as_nobody

pytest.importorskip("rosbags", reason="needs rosbags (the extra bags)")

from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from floppynet_vpr.datasets.bag_files import open_bag
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.bags_reading import RAW, BagFrames
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError

STORE = get_typestore(Stores.ROS2_HUMBLE)
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


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 10), st.sampled_from(STORAGES))
def test_every_nth_message(count: int, every: int, storage: str) -> None:
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
    with pytest.raises(VprError, match=r"--topic .*: /left, /right"):
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
    write_bag(frames, tmp_path / "plain")
    packed = Writer(tmp_path / "packed", version=8, storage_plugin=storage)
    packed.set_compression(mode, CompressionFormat.ZSTD)
    with Reader(tmp_path / "plain") as reader, packed as writer:
        connection = writer.add_connection("/camera/image_raw", RAW, typestore=STORE)
        for _, received_ns, data in reader.messages():
            writer.write(connection, received_ns, data)
    read = list(open_source(tmp_path / "packed"))
    for got, put in zip(read, frames, strict=True):
        assert np.array_equal(got.rgb, put.rgb) and got.stamp_ns == put.stamp_ns


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


@pytest.mark.parametrize("storage", STORAGES)
def test_messages_are_read_whatever_qos_the_metadata_notes(tmp_path: Path, storage: str) -> None:
    """An edited metadata.yaml is the usual way around a QoS that another distribution wrote."""
    write_bag(lap(), tmp_path / "bag", storage=storage)
    metadata = tmp_path / "bag" / "metadata.yaml"
    facts = yaml.safe_load(metadata.read_text())
    (topic,) = facts["rosbag2_bagfile_information"]["topics_with_message_count"]
    policy = {"sec": 1, "nsec": 0}
    profile = {
        **{"history": 1, "depth": 10, "reliability": 2, "durability": 2, "liveliness": 1},
        **{key: policy for key in ("deadline", "lifespan", "liveliness_lease_duration")},
        "avoid_ros_namespace_conventions": False,
    }
    topic["topic_metadata"]["offered_qos_profiles"] = yaml.safe_dump([profile])
    metadata.write_text(yaml.safe_dump(facts))
    assert len(list(open_source(tmp_path / "bag"))) == 5


def test_a_split_bag_whose_files_differ_in_qos_is_read_whole(data_dir: Path) -> None:
    bag = data_dir / "field" / "split_qos_differs"
    if not bag.is_dir():
        pytest.skip(f"there is no {bag}")
    assert len(list(open_source(bag))) == 8


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_can_be_closed_while_it_is_read(tmp_path: Path, storage: str) -> None:
    """As where a command ends at a frame: SQLite would not close a file that is being read."""
    write_bag(lap(), tmp_path / "bag", storage=storage)
    with open_bag(tmp_path / "bag") as bag:
        messages = bag.messages(bag.connections)
        next(messages)
    assert next(messages, None) is None


def test_messages_in_the_log_of_a_sqlite_file_are_read(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    write_bag(lap(8), whole, storage="sqlite3")
    expected = [frame.stamp_ns for frame in open_source(whole)]
    database = sqlite3.connect(whole / "whole.db3", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    last = database.execute("SELECT * FROM messages ORDER BY id DESC LIMIT 3").fetchall()
    database.execute("DELETE FROM messages WHERE id > 5")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    places = ",".join("?" * len(last[0]))
    database.executemany(f"INSERT INTO messages VALUES ({places})", last)
    shutil.copytree(whole, killed)
    database.close()
    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    assert len(before["whole.db3-wal"]) > 0
    for source in (killed, killed / "whole.db3"):
        assert [frame.stamp_ns for frame in open_source(source)] == expected
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == before


def test_a_topic_may_be_named_without_slash_or_by_its_base(data_dir: Path, tmp_path: Path) -> None:
    bare = data_dir / "field" / "topic_noslash"
    for topic in (None, "cam/image", "/cam/image"):
        assert len(list(open_source(bare, topic=topic)))
    write_bag(lap(3), tmp_path / "bag", encoding="jpeg", topic="/x/image/compressed")
    assert len(list(open_source(tmp_path / "bag", topic="/x/image"))) == 3
    with pytest.raises(VprError, match="no image topic /x; it has: /x/image/compressed"):
        open_source(tmp_path / "bag", topic="x")


@pytest.mark.parametrize("name", ["meta_qos_edited", "reindex_empty_storage"])
def test_metadata_that_rosbag2_tools_and_people_leave_is_understood(
    data_dir: Path, name: str
) -> None:
    """QoS whose line ends are a backslash and an n, and a storage without a name."""
    bag = data_dir / "field" / name
    before = {file.name: file.read_bytes() for file in bag.iterdir()}
    assert len(list(open_source(bag))) == 8
    assert {file.name: file.read_bytes() for file in bag.iterdir()} == before


def edit_metadata(bag: Path, old: str, new: str) -> None:
    """Replace a text in a bag's metadata, which has to be there."""
    metadata = bag / "metadata.yaml"
    assert old in metadata.read_text()
    metadata.write_text(metadata.read_text().replace(old, new))


def test_a_bag_of_a_newer_version_says_what_reads_it(tmp_path: Path) -> None:
    write_bag(lap(), tmp_path / "bag")
    edit_metadata(tmp_path / "bag", "version: 8", "version: 99")
    with pytest.raises(VprError, match=r"of version 99.*upgrade rosbags.*storage file") as caught:
        open_source(tmp_path / "bag")
    assert "reindex" not in str(caught.value)


def test_a_bag_of_an_unknown_storage_says_what_converts_it(tmp_path: Path) -> None:
    write_bag(lap(), tmp_path / "bag")
    edit_metadata(tmp_path / "bag", "storage_identifier: sqlite3", "storage_identifier: rocks")
    with pytest.raises(VprError, match=r"'rocks' not supported.*ros2 bag convert"):
        open_source(tmp_path / "bag")


def test_a_renamed_and_a_lost_storage_file_are_named(tmp_path: Path) -> None:
    write_bag(lap(), tmp_path / "bag")
    storage = tmp_path / "bag" / "bag.db3"
    storage.rename(tmp_path / "bag" / "office.db3")
    with pytest.raises(VprError, match=r"lacks bag\.db3.*it has office\.db3: if that was renamed"):
        open_source(tmp_path / "bag")
    (tmp_path / "bag" / "office.db3").unlink()
    with pytest.raises(VprError, match=r"lacks bag\.db3.*copy the bag again"):
        open_source(tmp_path / "bag")


@pytest.mark.parametrize("whole", [True, False], ids=["with metadata", "without"])
def test_a_killed_recording_of_mcap_says_what_rescues_it(tmp_path: Path, whole: bool) -> None:
    bag = tmp_path / "bag"
    write_bag(lap(20, 60, 80), bag, storage="mcap")
    os.truncate(bag / "bag.mcap", (bag / "bag.mcap").stat().st_size // 2)
    if not whole:
        (bag / "metadata.yaml").unlink()
    for source in (bag, bag / "bag.mcap"):
        with pytest.raises(VprError, match=r"`mcap recover .*bag\.mcap -o recovered\.mcap`"):
            open_source(source)


def test_damaged_metadata_is_written_anew_by_reindex_and_a_damaged_file_is_not(
    tmp_path: Path,
) -> None:
    bag = tmp_path / "bag"
    write_bag(lap(20, 60, 80), bag)
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 8}")
    with pytest.raises(VprError, match="ros2 bag reindex"):
        open_source(bag)
    (bag / "metadata.yaml").write_text(text)
    os.truncate(bag / "bag.db3", 20_000)
    with pytest.raises(VprError, match=r'sqlite3 .*bag\.db3 "\.recover"') as caught:
        list(open_source(bag))
    assert "reindex" not in str(caught.value)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("part", ["", "metadata.yaml", "bag.*"])
def test_a_bag_that_may_not_be_read_says_so(storage: str, part: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        bag = Path(folder, "bag")
        write_bag(lap(), bag, storage=storage)
        (forbidden,) = bag.glob(part) if part else [bag]
        forbidden.chmod(0)
        try:
            with as_nobody(), pytest.raises(VprError, match="Permission denied") as caught:
                open_source(bag)
        finally:
            forbidden.chmod(0o700)
        assert str(forbidden) in str(caught.value) and "damaged" not in str(caught.value)


def test_a_bag_that_finds_no_room_to_be_unpacked_says_so(tmp_path: Path) -> None:
    packed = Writer(tmp_path / "packed", version=8, storage_plugin=StoragePlugin.SQLITE3)
    packed.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    write_bag(lap(20, 60, 80), tmp_path / "plain")
    with Reader(tmp_path / "plain") as reader, packed as writer:
        connection = writer.add_connection("/camera/image_raw", RAW, typestore=STORE)
        for _, received_ns, data in reader.messages():
            writer.write(connection, received_ns, data)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(VprError, match=r"cannot be unpacked.*TMPDIR"):
            open_source(tmp_path / "packed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
