# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`evaluate --loop` answers as the real node in mode `both` does, image by image."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import Client, StartNode, image_message, view

from floppynet_vpr.commands import evaluate
from floppynet_vpr.mapping import DEFAULT_STORAGE

LAP = 30


@pytest.mark.parametrize("sequence", ["none", "filter"])
def test_a_loop_is_answered_as_the_node_in_mode_both_answers(
    sequence: str, start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    settings = {"exclude_images": 5, "exclude_seconds": 3.0, "keyframe_distance": 0.35}
    start_node(mode="both", sequence=sequence, **settings)
    walk = tmp_path / "walk"
    walk.mkdir()
    publisher = client.image_publisher()
    for number in range(2 * LAP):
        rgb = view(number % LAP)
        assert cv2.imwrite(str(walk / f"{number:02}.png"), rgb[:, :, ::-1])
        publisher.publish(image_message(rgb, number + 1))
        client.wait_for_answers(number + 1)
    loops = tmp_path / "loops.csv"
    loops.write_text("".join(f"{number},{number + LAP}\n" for number in range(LAP)))
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    arguments = ["--loop", str(walk), "--truth", str(loops), "--rate", "1", "--sequence", sequence]
    arguments += ["--storage", DEFAULT_STORAGE, "--top_k", "5", *words, "-o", str(tmp_path / "out")]
    assert evaluate.main(arguments) == 0
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text())
    for said, told in zip(client.answers, result["by_query"], strict=True):
        best = said.candidates[0] if said.candidates else None
        assert told["detected"] == said.detected
        assert told["match_index"] == (None if best is None else best.stamp.sec - 1)
        assert told["score"] == (None if best is None else pytest.approx(best.score, abs=1e-5))
    assert result["detection"]["revisits"] == LAP
    assert result["detection"]["detected"] == sum(said.detected for said in client.answers)
    assert sequence == "none" or result["detection"]["detected"] > 0
