# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""ROS 1 bags serve wherever a rosbag2 does: as drives, maps, sources of bags, and to be played."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs rosbags (the extra bags)")

from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_typestore

from floppynet_vpr.commands import build_map, calibrate, evaluate, make_bag
from floppynet_vpr.datasets.bags_reading import BagFrames, read_fixes
from floppynet_vpr.datasets.frames import decoded
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError
from floppynet_vpr.graph.bag_trajectories import trajectory_of_tf, trajectory_of_topic
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.mapping import ReferenceMap

STORE = get_typestore(Stores.ROS1_NOETIC)
START_NS = 1_600_000_000_000_000_000
PERIOD_NS = 100_000_000
POSITIONS = [(47.0 + index / 1000, 8.0) for index in range(12)]


def pictures(count: int = 12) -> list[np.ndarray]:
    """Small pictures that differ."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(count)]


@pytest.fixture(params=[None, Writer.CompressionFormat.LZ4, Writer.CompressionFormat.BZ2])
def bag(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Twelve images on /cam/image_raw with a GPS fix each, packed as the parameter says."""
    path = tmp_path / "drive.bag"
    writer = Writer(path)
    if request.param is not None:
        writer.set_compression(request.param)
    types = STORE.types
    with writer:
        image = writer.add_connection("/cam/image_raw", "sensor_msgs/msg/Image", typestore=STORE)
        fix = writer.add_connection("/gps/fix", "sensor_msgs/msg/NavSatFix", typestore=STORE)
        for index, (rgb, place) in enumerate(zip(pictures(), POSITIONS, strict=True)):
            stamp_ns = START_NS + PERIOD_NS * index
            stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
            header = types["std_msgs/msg/Header"](index, stamp, "camera")
            message = types["sensor_msgs/msg/Image"](
                header, 40, 60, "rgb8", 0, 180, rgb.reshape(-1)
            )
            writer.write(image, stamp_ns, STORE.serialize_ros1(message, image.msgtype))
            status = types["sensor_msgs/msg/NavSatStatus"](0, 1)
            position = types["sensor_msgs/msg/NavSatFix"](
                header, status, *place, 400.0, np.zeros(9), 0
            )
            writer.write(fix, stamp_ns, STORE.serialize_ros1(position, fix.msgtype))
    return path


def test_images_stamps_and_positions_are_those_recorded(bag: Path) -> None:
    source = open_source(bag)
    assert isinstance(source, BagFrames) and source.topic == "/cam/image_raw" and len(source) == 12
    stamps = [START_NS + PERIOD_NS * index for index in range(12)]
    for frame, rgb, stamp_ns in zip(source, pictures(), stamps, strict=True):
        assert np.array_equal(frame.rgb, rgb) and frame.stamp_ns == stamp_ns
    assert source.stamps_ns() == stamps
    fixes = [(stamp, *place) for stamp, place in zip(stamps, POSITIONS, strict=True)]
    assert read_fixes(bag) == fixes


def test_every_command_takes_it(bag: Path, tmp_path: Path) -> None:
    office, rosbag2 = tmp_path / "office.fvm", tmp_path / "drive"
    assert build_map.main([str(bag), "-o", str(office)]) == 0
    assert len(ReferenceMap.load(office)) == 12
    words = ["--topic", "cam/image_raw", "--precision", "0.1"]
    assert calibrate.main([str(office), str(bag), *words]) == 0
    assert make_bag.main([str(bag), str(rosbag2), "--compressed", "png", "--every", "2"]) == 0
    made = open_source(rosbag2)
    assert isinstance(made, BagFrames) and made.topic == "/cam/image_raw/compressed"
    for frame, original in zip(made, open_source(bag, every=2), strict=True):
        assert np.array_equal(frame.rgb, original.rgb) and frame.stamp_ns == original.stamp_ns
    output = tmp_path / "results"
    words = ["--query", str(bag), "--reference", str(bag), "--tolerance", "0", "-o", str(output)]
    assert evaluate.main(words) == 0
    assert (output / "report.html").is_file()


def test_a_start_time_moves_all_stamps_of_a_bag(bag: Path, tmp_path: Path) -> None:
    assert make_bag.main([str(bag), str(tmp_path / "moved"), "--start-time", "100"]) == 0
    stamps = [frame.stamp_ns for frame in open_source(tmp_path / "moved")]
    assert stamps == [100 * 10**9 + PERIOD_NS * index for index in range(12)]


@pytest.mark.parametrize(
    "name, topic, shape",
    [
        ("raw", "/spot/camera/frontleft/image", (480, 640, 3)),
        ("raw", "/spot/camera/hand_color/image", (480, 640, 3)),
        ("compressed", "/spot/camera/hand_mono/image", (171, 224, 3)),
        ("compressed", "/spot/camera/frontleft/image", (480, 640, 3)),
        ("compressed", "/spot/camera/hand_color/image/compressed", (480, 640, 3)),
    ],
)
def test_a_real_robots_cameras_are_read_by_their_base_topics(
    data_dir: Path, name: str, topic: str, shape: tuple[int, ...]
) -> None:
    (frame,) = open_source(data_dir / "bags" / "spot" / f"{name}.bag", topic=topic)
    assert frame.rgb.shape == shape and frame.rgb.std() > 10


def test_raw_and_compressed_form_of_a_real_image_agree(data_dir: Path) -> None:
    """JPEG changes pixels less than swapped colours or shifted rows would."""
    spot = data_dir / "bags" / "spot"
    for camera in ("frontleft", "hand_color", "hand_mono"):
        topic = f"/spot/camera/{camera}/image"
        (raw,) = open_source(spot / "raw.bag", topic=topic)
        (packed,) = open_source(spot / "compressed.bag", topic=topic)
        assert raw.stamp_ns == packed.stamp_ns
        error = np.abs(raw.rgb.astype(int) - packed.rgb).mean()
        assert error < 6 and error < np.abs(np.roll(raw.rgb, 2, 0).astype(int) - packed.rgb).mean()
        if camera == "hand_color":
            assert error < np.abs(raw.rgb[..., ::-1].astype(int) - packed.rgb).mean()


def test_one_of_several_cameras_is_evaluated(data_dir: Path, tmp_path: Path) -> None:
    spot = data_dir / "bags" / "spot"
    words = ["--query", str(spot / "compressed.bag"), "--reference", str(spot / "raw.bag")]
    words += ["--tolerance", "0", "-o", str(tmp_path)]
    assert evaluate.main(words) == 1
    assert evaluate.main([*words, "--image-topic", "/spot/camera/hand_color/image"]) == 0


def test_compressed_depth_is_refused_by_name(data_dir: Path) -> None:
    with pytest.raises(VprError, match="compressedDepth' is a depth image"):
        list(open_source(data_dir / "bags" / "spot" / "compressedDepth.bag"))


@pytest.mark.parametrize(
    "file, reason",
    [
        ("evo_tf_example.bag", "no image topic; its topics are: /tf, /tf_static"),
        ("robot_localization_test2.bag", "no image topic; its topics are: /imu/data"),
        ("ros1_compression/no-messages.bag", "no image topic; its topics are: none at all"),
        ("ros1_compression/example-bz2.bag", "no image topic"),
        ("spot/raw.bag", "--image-topic.: /spot/camera/frontleft/image"),
    ],
)
def test_what_cannot_be_taken_says_why(data_dir: Path, file: str, reason: str) -> None:
    with pytest.raises(VprError, match=reason):
        open_source(data_dir / "bags" / file)


@pytest.mark.parametrize("bag", [None], indirect=True)
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.98])
def test_one_cut_off_says_what_rescues_it(bag: Path, kept: float) -> None:
    content = bag.read_bytes()
    bag.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(VprError, match=r"drive\.bag cannot be read.*cut off.*rosbag reindex"):
        list(open_source(bag))


@pytest.mark.parametrize("bag", [None], indirect=True)
def test_a_folder_of_bags_names_them(bag: Path) -> None:
    """As `rosbag record --split` leaves."""
    bag.rename(bag.with_name("drive_0.bag"))
    (bag.parent / "closed").mkdir(mode=0)
    with pytest.raises(VprError, match=r"no images itself; name one of its bags: drive_0\.bag"):
        open_source(bag.parent)


@pytest.mark.parametrize("bag", [None], indirect=True)
def test_a_bag_still_being_recorded_says_how_to_end_it(bag: Path) -> None:
    active = bag.rename(bag.with_name("drive.bag.active"))
    with pytest.raises(VprError, match=r"not ended: `rosbag reindex .*drive\.bag\.active`"):
        open_source(active)


def test_a_damaged_message_costs_itself_only(tmp_path: Path) -> None:
    bag, errors = tmp_path / "drive.bag", list[ImageError]()
    types = STORE.types
    with Writer(bag) as writer:
        image = writer.add_connection("/cam", "sensor_msgs/msg/Image", typestore=STORE)
        for index in range(4):
            stamp = types["builtin_interfaces/msg/Time"](index, 5)
            header = types["std_msgs/msg/Header"](index, stamp, "camera")
            pixels = np.full(12, index, np.uint8)
            message = types["sensor_msgs/msg/Image"](header, 2, 2, "rgb8", 0, 6, pixels)
            data = bytes(STORE.serialize_ros1(message, image.msgtype))
            writer.write(image, index, data[:-5] if index == 2 else data)
    frames = list(decoded(open_source(bag).pending(), 2, errors.append))
    assert [frame.stamp_ns // 10**9 for frame in frames] == [0, 1, 3]
    assert len(errors) == 1 and "message 2 of topic /cam" in str(errors[0])


def test_ways_are_read_from_its_tf_and_odometry(data_dir: Path) -> None:
    bags = data_dir / "bags"
    assert len(trajectory_of_tf(bags / "evo_tf_example.bag", "odom", "base_link")) == 517
    name, way = trajectory_of_topic(bags / "robot_localization_test2.bag")
    assert (name, len(way)) == ("/jackal_velocity_controller/odom", 3060)
