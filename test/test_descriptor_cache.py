# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors of a drive are the same on any number of threads, and of the frames wanted alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs rosbags (the extra bags)")

from rosbags.rosbag2 import Reader, Writer
from rosbags.typesys import Stores, get_typestore

from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.bags_reading import COMPRESSED
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.traverse import open_traverse
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.describers import open_network
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache

STORE = get_typestore(Stores.ROS2_HUMBLE)


def quietly(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """Show no progress."""
    return items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures."""
    images = tmp_path / "images"
    images.mkdir()
    for index in range(12):
        small = np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(images / f"{index}.png"), cv2.resize(small, (160, 120)))
    return images


@pytest.mark.parametrize("layers", [["pool5"], ["conv5", "pool5"]], ids="+".join)
def test_threads_make_no_difference(folder: Path, tmp_path: Path, layers: list[str]) -> None:
    drive = open_traverse(folder)
    found = {}
    for threads in (1, 3):
        network = open_network("shipped", layers, threads=threads)
        cache = DescriptorCache(tmp_path / f"{threads}")
        found[threads] = cache.describe(drive, network, quietly)
    for layer in layers:
        one, three = found[1][layer], found[3][layer]
        assert len(one.values) == 12 and one.values.dtype == three.values.dtype
        assert np.array_equal(one.values, three.values)
        assert one.extraction_ms > 0 and three.extraction_ms > 0


def test_an_image_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "7.png").write_bytes(b"damaged")
    network = open_network("shipped", ["pool5"], threads=2)
    with pytest.raises(VprError, match=r"7\.png"):
        DescriptorCache(tmp_path / "kept").describe(open_traverse(folder), network, quietly)
    assert list((tmp_path / "kept").iterdir()) == []


def test_frames_that_are_not_wanted_are_not_decoded(folder: Path, tmp_path: Path) -> None:
    """Those of a folder and a bag are damaged here, which whoever decodes them would notice."""
    bag = tmp_path / "bag"
    frames = [Frame(str(index), index, np.zeros((8, 8, 3), np.uint8)) for index in range(12)]
    write_bag(frames, tmp_path / "sound", encoding="png")
    with Reader(tmp_path / "sound") as reader, Writer(bag, version=8) as writer:
        connection = writer.add_connection("/cam", COMPRESSED, typestore=STORE)
        for index, (_, received_ns, data) in enumerate(reader.messages()):
            message: Any = STORE.deserialize_cdr(data, COMPRESSED)
            if index not in (3, 7):
                message.data = message.data[:20]
            writer.write(connection, received_ns, STORE.serialize_cdr(message, COMPRESSED))
    for index in range(12):
        if index not in (3, 7):
            (folder / f"{index}.png").write_bytes(b"damaged")
    for source in (folder, bag):
        drive = open_traverse(source)
        assert [frame.name for frame in drive.only([3, 7]).frames()] == [
            drive.names[index] for index in (3, 7)
        ]
        with pytest.raises(VprError):
            list(drive.frames())


def test_a_drive_that_lacks_frames_says_how_many(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    frames = [Frame(str(index), index, np.zeros((8, 8, 3), np.uint8)) for index in range(12)]
    write_bag(frames, bag)
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("count: 12", "count: 15"))
    drive = open_traverse(bag)
    assert len(list(drive.only([2, 11]).frames())) == 2
    with pytest.raises(VprError, match="gave 12 of the 15 messages"):
        list(drive.only([2, 14]).frames())
