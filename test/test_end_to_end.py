# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's figures on the real dataset: folder, bag, map, node, /vpr/loop_closure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.commands import build_map, import_weights, make_bag
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.places import MOST_PLACES

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import PATIENCE_S, Client, NodeProcess

FRAMES = 200
TOLERANCE = 2


@pytest.mark.parametrize(
    ("query", "correct"), [("night_right", 159), ("day_left", 152)], ids=["night", "viewpoint"]
)
def test_gardens_point_through_bag_and_node(
    query: str, correct: int, data_dir: Path, tmp_path: Path, ros_domain: int
) -> None:
    weights = tmp_path / "floppynet.fnet"
    bag, map_file = tmp_path / query, tmp_path / "day_right.fvm"
    published = data_dir / "weights" / "floppynet_places365.tflite"
    folders = data_dir / "gardens_point"
    assert import_weights.main([str(published), str(weights)]) == 0
    assert make_bag.main([str(folders / query), str(bag), "--rate", "25"]) == 0
    exact = ["--weights", str(weights), "--storage", "float32"]
    assert build_map.main([str(folders / "day_right"), "-o", str(map_file), *exact]) == 0

    client = Client(ros_domain)
    remap = ("-r", "image:=/camera/image_raw")
    node = NodeProcess(
        tmp_path,
        ros_domain,
        *remap,
        map=map_file,
        weights=weights,
        queue_size=FRAMES,
        qos="reliable",
        matching="rigid",
        sequence="none",
    )
    try:
        node.wait_for_log("waiting for images")
        play = [sys.executable, "-m", "floppynet_vpr.commands.play_bag", str(bag)]
        subprocess.run([*play, "--delay", "4"], check=True, timeout=2 * PATIENCE_S)
        answers = client.wait_for_answers(FRAMES)
    finally:
        assert node.stop() == 0
        client.close()

    matched = np.array([answer.candidates[0].place_id % MOST_PLACES for answer in answers])
    assert int((abs(matched - np.arange(FRAMES)) <= TOLERANCE).sum()) == correct

    extractor = create_extractor(weights)
    descriptors = np.stack([extractor.describe(frame.rgb) for frame in open_source(bag)])
    offline = ReferenceMap.load(map_file).search(descriptors, 1)
    np.testing.assert_array_equal(matched, offline.indices[:, 0])
    distances = np.array([answer.candidates[0].distance for answer in answers], np.float32)
    np.testing.assert_array_equal(distances, offline.distances[:, 0])
