# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""vpr.launch.py: documented, strict, and it starts the node as the arguments say."""

from __future__ import annotations

import array
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

NO_LAUNCH = "needs the ROS 2 launch system, which comes with ROS distributions, not from PyPI"
launch = pytest.importorskip("launch", reason=NO_LAUNCH)
pytest.importorskip("launch_ros", reason=NO_LAUNCH)
pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import Image

from floppynet_vpr.errors import VprError
from floppynet_vpr.parameters import SETTINGS

LAUNCH_FILE = Path(__file__).resolve().parents[1] / "launch" / "vpr.launch.py"
ANSWER_S = 60.0
"""Longest wait for a node that is starting."""


def launch_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vpr_launch", LAUNCH_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context_with(**arguments: str) -> Any:
    """A launch context in which the arguments are given and all others have their defaults."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    for argument in launch_module().declared_arguments():
        argument.visit(context)
    return context


def run_launch(arguments: dict[str, str], meanwhile: Callable[[], None] | None = None) -> int:
    """Run the launch file until `meanwhile` (in a thread) is through; returns launch's status."""
    service = launch.LaunchService(noninteractive=True)
    source = PythonLaunchDescriptionSource(str(LAUNCH_FILE))
    service.include_launch_description(
        launch.LaunchDescription(
            [IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))]
        )
    )
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            if meanwhile is not None:
                meanwhile()
        except BaseException as failure:
            failures.append(failure)
        finally:
            service.shutdown()

    asking = threading.Thread(target=ask)
    if meanwhile is not None:
        asking.start()
    status = service.run()
    if meanwhile is not None:
        asking.join()
    if failures:
        raise failures[0]
    return status


def test_every_argument_is_described() -> None:
    description = launch_module().generate_launch_description()
    arguments = description.get_launch_arguments()
    for argument in arguments:
        assert len(argument.description) > 20, argument.name
        assert argument.default_value is not None, argument.name


def test_every_parameter_and_input_topic_of_the_node_can_be_set() -> None:
    arguments = {argument.name: argument for argument in launch_module().declared_arguments()}
    for setting in SETTINGS:
        choices = ["", *setting.choices] if setting.choices else None
        assert arguments[setting.name].choices == choices
        assert setting.written_default in arguments[setting.name].description
    assert {"image", "odom", "pose"} <= set(arguments)


@pytest.mark.parametrize(
    ("name", "value"), [("qos", "best"), ("image_transport", "theora"), ("log_level", "loud")]
)
def test_an_unknown_choice_is_refused_before_anything_starts(name: str, value: str) -> None:
    with pytest.raises(RuntimeError, match=f'"{name}" provided value "{value}" is not valid'):
        context_with(**{name: value})
    assert run_launch({name: value}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("top_k", "many"), ("threshold", "nan"), ("subtract_mean", "yes"), ("params_file", "/no")],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises((RuntimeError, VprError), match=f"{name}.* must be"):
        launch_module().start_node(context_with(**{name: value}))


def test_only_given_arguments_override_the_parameter_file() -> None:
    module = launch_module()
    none_given = {setting.name: "" for setting in module.PARAMETERS}
    assert module.overrides(none_given) == {}
    some = none_given | {
        "top_k": "3",
        "threshold": "1",
        "autostart": "false",
        "subtract_mean": "True",
    }
    values = module.overrides(some)
    assert values == {"top_k": 3, "threshold": 1.0, "autostart": False, "subtract_mean": True}
    assert isinstance(values["threshold"], float)


def test_the_node_starts_with_the_parameters_of_file_and_arguments(
    ros_context: Any, tmp_path: Path
) -> None:
    params_file = tmp_path / "mine.yaml"
    params_file.write_text("/**:\n  ros__parameters:\n    top_k: 2\n    threshold: 0.5\n")
    wanted = {
        "autostart": False,
        "threshold": 0.75,
        "top_k": 2,
        "qos": "reliable",
        "subtract_mean": True,
        "base_frame": "1",
        "map": "2024-01-01T10:00.fvm",
    }
    answers: dict[str, Any] = {}

    def ask() -> None:
        node = rclpy.create_node("test_launch", context=ros_context)
        executor = SingleThreadedExecutor(context=ros_context)
        executor.add_node(node)
        client = node.create_client(GetParameters, "/robot1/vpr/get_parameters")
        assert client.wait_for_service(ANSWER_S), "the node did not start"
        future = client.call_async(GetParameters.Request(names=list(wanted)))
        executor.spin_until_future_complete(future, ANSWER_S)
        values = future.result().values
        answers.update(zip(wanted, map(parameter_value_to_python, values), strict=True))

    arguments = {
        "params_file": str(params_file),
        "namespace": "robot1",
        "autostart": "false",
        "threshold": "0.75",
        "qos": "reliable",
        "subtract_mean": "true",
        "base_frame": "1",
        "map": "2024-01-01T10:00.fvm",
    }
    assert run_launch(arguments, ask) == 0
    assert answers == wanted


def test_an_image_on_the_given_topic_is_answered(ros_context: Any) -> None:
    from floppynet_vpr_msgs.msg import LoopClosure

    answers: list[LoopClosure] = []

    def ask() -> None:
        node = rclpy.create_node("test_launch", context=ros_context)
        executor = SingleThreadedExecutor(context=ros_context)
        executor.add_node(node)
        answered = rclpy.task.Future(executor=executor)
        node.create_subscription(LoopClosure, "/vpr/loop_closure", answered.set_result, 10)
        publisher = node.create_publisher(Image, "/camera/image_raw", 10)
        image = Image(height=48, width=64, encoding="rgb8", step=192)
        image.header.frame_id = "camera"
        image.data = array.array("B", bytes(48 * 192))
        node.create_timer(0.1, lambda: publisher.publish(image))
        executor.spin_until_future_complete(answered, ANSWER_S)
        assert answered.done(), "no LoopClosure for an image"
        answers.append(answered.result())

    assert run_launch({"image": "/camera/image_raw"}, ask) == 0
    assert answers[0].header.frame_id == "camera"
    assert not answers[0].detected
