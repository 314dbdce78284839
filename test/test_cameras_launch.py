# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""cameras.launch.py: a node for each camera, each with its own topics and files."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

NO_LAUNCH = "needs the ROS 2 launch system, which comes with ROS distributions, not from PyPI"
launch = pytest.importorskip("launch.actions", reason=NO_LAUNCH)
pytest.importorskip("launch_ros", reason=NO_LAUNCH)
pytest.importorskip("rclpy", reason="needs ROS 2")

from launch import LaunchContext, LaunchService
from node_harness import Client

LAUNCH_FILE = Path(__file__).resolve().parents[1] / "launch" / "cameras.launch.py"


def launch_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cameras_launch", LAUNCH_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context_with(**arguments: str) -> Any:
    """A launch context in which the arguments are given and all others have their defaults."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for argument in launch_module().declared_arguments():
        argument.visit(context)
    return context


def test_each_camera_gets_a_node_with_its_own_topics_and_files() -> None:
    context = context_with(cameras="front, rear", save_map_to="/maps/{camera}.fvm", top_k="3")
    front, rear = (dict(one.launch_arguments) for one in launch_module().start_nodes(context))
    assert front == {
        "namespace": "front",
        "image": "/front/image_raw",
        "save_map_to": "/maps/front.fvm",
        "top_k": "3",
    }
    assert rear == {name: text.replace("front", "rear") for name, text in front.items()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cameras": " ,"}, "cameras:= must be names that differ"),
        ({"cameras": "front,front"}, "cameras:= must be names that differ"),
        ({"cameras": "front,rear", "namespace": "robot1"}, "namespace:= must differ"),
        ({"cameras": "front,rear", "save_map_to": "/a.fvm"}, "save_map_to:= must differ"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    arguments: dict[str, str], said: str
) -> None:
    with pytest.raises(RuntimeError, match=said):
        launch_module().start_nodes(context_with(**arguments))


def test_the_nodes_of_two_cameras_run(ros_domain: int) -> None:
    service = LaunchService(noninteractive=True)
    description = launch_module().generate_launch_description()
    given = launch.SetLaunchConfiguration("cameras", "front,rear")
    description.entities.insert(0, given)
    service.include_launch_description(description)
    seen: set[str] = set()

    def look() -> None:
        client = Client(ros_domain)
        try:
            for camera in ("front", "rear"):
                client.image_publisher(f"/{camera}/image_raw")
                seen.add(camera)
        finally:
            client.close()
            service.shutdown()

    looking = threading.Thread(target=look)
    looking.start()
    assert service.run() == 0
    looking.join()
    assert seen == {"front", "rear"}
