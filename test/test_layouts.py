# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The layouts for RViz and Foxglove show topics that the node has, and fields of its messages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import Client, NodeProcess
from rclpy.node import NodeNameNonExistentError

from floppynet_vpr_msgs.msg import LoopClosure, LoopClosureCandidate

CONFIG = Path(__file__).resolve().parents[1] / "config"


def texts(value: Any) -> list[str]:
    """All strings in a tree of dicts and lists, keys included."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


def field(message: Any, path: str) -> Any:
    """The field of a message that Foxglove means by a path such as candidates[0].distance."""
    for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", path):
        message = getattr(message, name)
        message = message[int(index)] if index else message
    return message


def shown_topics() -> tuple[set[str], set[str]]:
    """The topics and message paths that the two layouts name."""
    rviz = yaml.safe_load((CONFIG / "vpr.rviz").read_text())
    foxglove = json.loads((CONFIG / "foxglove_layout.json").read_text())
    named = {text for text in texts(rviz) + texts(foxglove) if re.match(r"/\w", text)}
    return {text.split(".")[0] for text in named}, {text for text in named if "." in text}


def published(client: Client) -> set[str]:
    """The topics that the node publishes, as far as discovery has come."""
    try:
        found = client.node.get_publisher_names_and_types_by_node("vpr", "/")
    except NodeNameNonExistentError:
        return set()
    return {name for name, _ in found}


def test_the_layouts_show_what_the_node_has(ros_domain: int, tmp_path: Path) -> None:
    topics, _ = shown_topics()
    client = Client(ros_domain)
    node = NodeProcess(tmp_path, ros_domain)
    try:
        client.image_publisher()
        client.wait_for(lambda: topics <= published(client) | {"/image"}, f"{topics} of the node")
        assert {"/image", "/vpr/loop_closure", "/vpr/matched_pose"} <= topics
        assert {"/vpr/markers", "/vpr/pose_graph"} <= topics
    finally:
        node.stop()
        client.close()


def test_the_plots_show_fields_of_the_answer() -> None:
    _, paths = shown_topics()
    answer = LoopClosure(candidates=[LoopClosureCandidate(place_id=7, distance=0.5)])
    plotted = {path.split(".", 1)[1] for path in paths}
    assert {"candidates[0].distance", "threshold"} <= plotted
    assert all(isinstance(field(answer, path), int | float) for path in plotted)
