# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node verifies candidates by geometry as it is done offline, on real images over real DDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.commands import build_map
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.detection import (
    DetectorOptions,
    LoopClosureDetector,
    VerificationOptions,
    Verifier,
)
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES
from floppynet_vpr.mapping import ReferenceMap, load_maps

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import WARN, Client, StartNode, image_message, picture, set_parameter

EVERY = 10


def traverse(data_dir: Path, name: str) -> list[Frame]:
    return list(open_source(data_dir / "gardens_point" / name, every=EVERY))


def test_candidates_are_verified_as_offline_and_name_their_session(
    data_dir: Path, tmp_path: Path, start_node: StartNode, client: Client
) -> None:
    maps = [tmp_path / "day.fvm", tmp_path / "night.fvm"]
    for path, name in zip(maps, ("day_right", "night_right"), strict=True):
        source = str(data_dir / "gardens_point" / name)
        features = ["--features", "200"] if path.stem == "day" else []
        assert build_map.main([source, "-o", str(path), "--every", str(EVERY), *features]) == 0
    both = f"{maps[0]}:{maps[1]}"
    start_node(
        map=both,
        sequence="none",
        threshold=2.0,
        verification="features",
        verify_budget=10000.0,
        least_inliers=10,
    )
    publisher = client.image_publisher()
    detector = LoopClosureDetector(load_maps(both), DetectorOptions(sequence="none", threshold=2.0))
    verifier = Verifier(VerificationOptions(least_inliers=10, budget_ms=1e6))
    extractor = create_extractor()
    frames = traverse(data_dir, "day_left")
    unchecked = 0
    for number, frame in enumerate(frames):
        publisher.publish(image_message(frame.rgb, number))
        answer = client.wait_for_answers(number + 1)[number]
        found = detector.detect(extractor.describe(frame.rgb))
        expected = verifier.verify(frame.rgb, found, detector.reference)
        assert answer.detected == expected.detected
        for got, candidate in zip(answer.candidates, expected.candidates, strict=True):
            assert got.place_id == candidate.place.id
            assert got.session == candidate.place.session.name
            assert got.session == ("day", "night")[candidate.index >= 20]
            assert (got.inliers, got.verified) == (candidate.inliers, candidate.verified)
            assert (got.inliers == -1) == (got.session == "night"), "that map keeps no features"
            unchecked += got.inliers == -1
    detected = sum(answer.detected for answer in client.answers)
    assert 0 < detected < len(frames)
    assert unchecked
    assert set_parameter(client, "verification", "none")[0]
    publisher.publish(image_message(frames[0].rgb, 99))
    last = client.wait_for_answers(len(frames) + 1)[-1]
    assert last.detected
    assert {candidate.inliers for candidate in last.candidates} == {-1}


def test_a_map_made_while_driving_keeps_local_features_for_verification(
    data_dir: Path, tmp_path: Path, start_node: StartNode, client: Client
) -> None:
    path = tmp_path / "new.fvm"
    node = start_node(
        mode="mapping", verification="features", save_map_to=path, keyframe_distance=0.0
    )
    publisher = client.image_publisher()
    frames = traverse(data_dir, "day_right")[:5]
    for number, frame in enumerate(frames):
        publisher.publish(image_message(frame.rgb, number))
        client.wait_for_answers(number + 1)
    assert node.stop() == 0
    reference = ReferenceMap.load(path)
    assert reference.features == DEFAULT_FEATURES
    assert [len(reference.features_of(place) or ()) for place in range(5)] == [300] * 5
    assert np.isfinite(reference.descriptors()).all()


def test_a_map_without_features_is_told_where_verification_is_wanted(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    reference.add(extractor.describe(picture(0)), "")
    reference.save(tmp_path / "plain.fvm")
    node = start_node(map=tmp_path / "plain.fvm", threshold=0.5, verification="features")
    client.image_publisher().publish(image_message(picture(0), 1))
    assert client.wait_for_answers(1)[0].candidates[0].inliers == -1
    told = "verification is features, but the map keeps no local features"
    node.wait_for_log(told)
    values = client.wait_for_diagnostics(lambda values: told in values["summary"])
    assert values["level"] == WARN
    assert set_parameter(client, "verification", "none")[0]
    client.wait_for_diagnostics(lambda values: values["summary"] == "running")
