# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of 10 to 14 bits in 16 are as bright as they are meant, and the scale does not jump."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from floppynet_vpr.datasets.frames import FramesMissing
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.imaging.bit_depth import BitDepth, probed
from floppynet_vpr.imaging.payload import decode_image


def image(largest: int) -> NDArray[np.uint16]:
    return np.array([[0, largest]], np.uint16)


def test_the_bits_of_a_live_camera_are_the_widest_seen_so_far() -> None:
    depth = BitDepth()
    largest = (0, 255, 256, 1023, 1024, 900, 16383, 4095, 65535, 0)
    assert [depth.bits(image(value)) for value in largest] == [
        *(8, 8, 10, 10, 12, 12, 14, 14, 16, 16)
    ]


def test_the_bits_of_a_recording_do_not_depend_on_what_was_read_before() -> None:
    probes = [0]

    def probe(depth: BitDepth) -> None:
        probes[0] += 1
        for value in (200, 4000):
            depth.bits(image(value))

    depth = BitDepth(probe)
    assert not probes[0]
    assert [depth.bits(image(value)) for value in (1, 60000, 4095, 1)] == [12, 16, 12, 12]
    assert probes[0] == 1
    assert BitDepth(lambda _: None).bits(image(3)) == 8  # none of the probed could be read


def test_probes_are_spread_over_the_recording() -> None:
    assert probed(1) == [0]
    assert probed(3) == [0, 1, 2]
    chosen = probed(1000)
    assert len(chosen) == 16 and (chosen[0], chosen[-1]) == (0, 999)
    assert {round((b - a) / 10) for a, b in pairwise(chosen)} == {7}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_picture_in_any_bits_is_the_picture(bits: int) -> None:
    grey = np.arange(256, dtype=np.uint32).reshape(16, 16)
    stored = ((grey * (2**bits - 1) + 127) // 255).astype(np.uint16)
    rgb = decode_image(16, 16, "mono16", False, 32, stored.tobytes(), BitDepth())
    assert np.array_equal(rgb[..., 1], grey)


def test_a_folder_of_12_bits_is_read_alike_in_any_order(tmp_path: Path) -> None:
    for number, largest in enumerate((300, 4095, 1000, 200)):
        picture = np.full((8, 8), largest, np.uint16)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    expected = [round(largest * 255 / 4095) for largest in (300, 4095, 1000, 200)]
    loads = list(open_source(tmp_path).pending())
    assert [int(load().rgb[0, 0, 0]) for load in loads] == expected
    loads = list(open_source(tmp_path).pending())
    assert [int(load().rgb[0, 0, 0]) for load in reversed(loads)] == expected[::-1]


def bag_of_mono16(path: Path, topic: str, largest: tuple[int, ...], encoding: str) -> None:
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    kinds = store.types
    with Writer(path, version=8) as writer:
        connection = writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=store)
        for number, value in enumerate(largest):
            stamp = kinds["builtin_interfaces/msg/Time"](number, 0)
            header = kinds["std_msgs/msg/Header"](stamp, "camera")
            data = np.full((8, 8), value, np.uint16).view(np.uint8).reshape(-1)
            message = kinds["sensor_msgs/msg/Image"](header, 8, 8, encoding, 0, 16, data)
            writer.write(connection, number, store.serialize_cdr(message, "sensor_msgs/msg/Image"))


def test_a_bag_of_14_bits_is_read_alike_in_any_order(tmp_path: Path) -> None:
    largest = (5000, 300, 16383, 20)
    bag_of_mono16(tmp_path / "bag", "/thermal", largest, "16UC1")
    expected = [round(value * 255 / 16383) for value in largest]
    loads = list(open_source(tmp_path / "bag").pending())
    assert [int(load().rgb[0, 0, 0]) for load in reversed(loads)] == expected[::-1]


def test_every_nth_image_of_a_bag_is_scaled_as_in_the_whole_bag(tmp_path: Path) -> None:
    largest = (300, 16383, 5000, 20)
    bag_of_mono16(tmp_path / "bag", "/thermal", largest, "16UC1")
    frames = open_source(tmp_path / "bag", every=2)
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [
        round(value * 255 / 16383) for value in (300, 5000)
    ]


def test_a_bag_that_lacks_messages_is_scaled_by_those_it_has(tmp_path: Path) -> None:
    largest = (300, 16383, 5000)
    bag_of_mono16(tmp_path / "bag", "/thermal", largest, "16UC1")
    metadata = tmp_path / "bag" / "metadata.yaml"
    noted = metadata.read_text(encoding="utf-8")
    promised = noted.replace("message_count: 3", "message_count: 5")
    assert promised != noted
    metadata.write_text(promised, encoding="utf-8")
    *loads, ending = open_source(tmp_path / "bag").pending()
    assert [int(load().rgb[0, 0, 0]) for load in loads] == [
        round(value * 255 / 16383) for value in largest
    ]
    with pytest.raises(FramesMissing, match="gave 3 of the 5 messages"):
        ending()


def test_a_bag_of_depth_images_is_refused_with_what_to_do(tmp_path: Path) -> None:
    from floppynet_vpr.imaging.payload import ImageError

    bag_of_mono16(tmp_path / "bag", "/camera/depth/image_raw", (5000,), "16UC1")
    with pytest.raises(ImageError, match="topic_tools relay /camera/depth/image_raw"):
        next(iter(open_source(tmp_path / "bag")))


def test_places_are_found_again_in_any_bits(data_dir: Path) -> None:
    extractor = create_extractor()

    def greys(name: str) -> list[NDArray[np.uint8]]:
        source = open_source(data_dir / "gardens_point" / name, every=10)
        return [np.asarray(cv2.cvtColor(f.rgb, cv2.COLOR_RGB2GRAY), np.uint8) for f in source]

    def describe(pictures: list[NDArray[np.uint8]], bits: int) -> NDArray[np.float32]:
        depth = BitDepth()
        rows = []
        for grey in pictures:
            height, width = grey.shape
            stored = grey.astype(np.uint16) << (bits - 8)
            data = stored.tobytes()
            rgb = decode_image(height, width, "mono16", False, 2 * width, data, depth)
            rows.append(extractor.describe(rgb))
        return np.array(rows)

    places = describe(greys("day_right"), 16)
    queries = greys("day_left")
    truth = np.arange(len(queries))
    right = {
        bits: int((np.argmax(describe(queries, bits) @ places.T, 1) == truth).sum())
        for bits in (16, 14, 12, 10)
    }
    assert right[16] >= 15  # of 20
    assert all(abs(count - right[16]) <= 1 for count in right.values()), right
