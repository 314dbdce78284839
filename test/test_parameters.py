# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A parameter is written once: the table, and what is made from it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from floppynet_vpr.detection import DetectorOptions
from floppynet_vpr.errors import VprError
from floppynet_vpr.parameters import SETTINGS, Setting

if TYPE_CHECKING:
    from node_harness import Client, StartNode

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "node.md"
BY_NAME = {setting.name: setting for setting in SETTINGS}
NUMBERS = [setting for setting in SETTINGS if type(setting.default) in (int, float)]
FLOATS = [setting for setting in NUMBERS if type(setting.default) is float]


def writer() -> ModuleType:
    """The program behind `make parameters`."""
    path = ROOT / "tools" / "write_parameters.py"
    spec = importlib.util.spec_from_file_location("write_parameters", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_sound() -> None:
    assert len(BY_NAME) == len(SETTINGS)
    for setting in SETTINGS:
        assert setting.checked(setting.default) == setting.default
        assert re.fullmatch(r"\S.*\.", setting.text) and "|" not in setting.text, setting.name
    for setting in NUMBERS:
        assert setting.range is not None, setting.name
    for option in fields(DetectorOptions):
        assert BY_NAME[option.name].default == option.default


def test_what_is_made_from_the_table_is_up_to_date() -> None:
    made = writer()
    again = "run `make parameters`"
    page = PAGE.read_text()
    assert (ROOT / "config" / "vpr.yaml").read_text() == made.config_text(), again
    assert made.with_table(page) == page, again


def test_the_configuration_has_every_default_and_its_page_every_parameter() -> None:
    config = yaml.safe_load((ROOT / "config" / "vpr.yaml").read_text())["/**"]["ros__parameters"]
    defaults = {setting.name: setting.default for setting in SETTINGS}
    assert config == defaults
    assert list(map(type, config.values())) == list(map(type, defaults.values()))
    table = re.search(r"^\| parameter \|.*?(?=\n\n)", PAGE.read_text(), re.M | re.S)
    assert table is not None
    rows = [line.split("|")[1:-1] for line in table[0].split("\n")[2:]]
    assert [row[0].strip(" `") for row in rows] == list(defaults)
    assert [row[3].endswith("(live) ") for row in rows] == [setting.live for setting in SETTINGS]


def test_the_table_needs_no_ros() -> None:
    code = "import sys; sys.modules['rclpy'] = None; import floppynet_vpr.parameters"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("threshold", "1", 1.0),
        ("threshold", "0.25", 0.25),
        ("top_k", "7", 7),
        ("subtract_mean", "true", True),
        ("subtract_mean", "False", False),
        ("base_frame", "1", "1"),
        ("sequence", "filter", "filter"),
    ],
)
def test_a_value_on_a_command_line_is_read_in_the_parameters_type(
    name: str, text: str, value: object
) -> None:
    read = BY_NAME[name].read(text)
    assert read == value
    assert type(read) is type(value)


WRONG = [
    ("threshold", "many", "threshold is 'many', but must be a number from 0 to 2"),
    ("threshold", 3, "threshold is 3.0, but must be a number from 0 to 2"),
    ("threshold", 3.0, "threshold is 3.0, but must be a number from 0 to 2"),
    ("threshold", float("nan"), "threshold is nan, but must be a number from 0 to 2"),
    ("threshold", True, "threshold is True, but must be a number from 0 to 2"),
    ("save_period", 0, "save_period is 0.0, but must be a number from 0.5 to 3600 s"),
    ("top_k", 2.0, "top_k is 2.0, but must be a whole number from 1 to 50"),
    ("top_k", 0, "top_k is 0, but must be a whole number from 1 to 50"),
    ("top_k", True, "top_k is True, but must be a whole number from 1 to 50"),
    ("subtract_mean", 1, "subtract_mean is 1, but must be true or false"),
    ("subtract_mean", "yes", "subtract_mean is 'yes', but must be true or false"),
    ("qos", "best", "qos is 'best', but must be one of auto, sensor_data, reliable"),
    ("base_frame", 1, "base_frame is 1, but must be text"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_a_value_that_cannot_be_is_refused_in_words(name: str, value: object, said: str) -> None:
    with pytest.raises(VprError) as refused:
        BY_NAME[name].checked(value)
    assert str(refused.value) == said
    if isinstance(value, str):
        with pytest.raises(VprError) as refused:
            BY_NAME[name].read(value)
        assert str(refused.value) == said


def settings_on_a_node(ros_context: Any, **given: Any) -> tuple[Any, Any]:
    """A ROS node that was started with these parameters, and its settings."""
    rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")
    from floppynet_vpr.ros.parameters import NodeParameters

    overrides = [rclpy.parameter.Parameter(name, value=value) for name, value in given.items()]
    node = rclpy.create_node("vpr", context=ros_context, parameter_overrides=overrides)
    try:
        return node, NodeParameters(node)
    except VprError:
        node.destroy_node()
        raise


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_the_node_says_the_same_of_such_a_value_at_start(
    ros_context: Any, name: str, value: object, said: str
) -> None:
    with pytest.raises(VprError) as refused:
        settings_on_a_node(ros_context, **{name: value})
    assert str(refused.value) == said


def test_parameters_that_there_are_not_are_told_with_what_may_be_meant(
    start_node: StartNode,
) -> None:
    node = start_node(mapp="home.fvm", nonsense=1, use_sim_time=False)
    node.wait_for_log("this node has no such parameter: ")
    (told,) = [line for line in node.log.splitlines() if "no such parameter" in line]
    assert "mapp (map?)" in told and "nonsense" in told and "use_sim_time" not in told


def test_whole_numbers_will_do_for_all_numbers_at_start_and_live(ros_context: Any) -> None:
    whole = {setting.name: _whole_number(setting) for setting in FLOATS}
    node, settings = settings_on_a_node(ros_context, **whole)
    kind = type(node.get_parameter("top_k"))
    for name, value in whole.items():
        assert settings[name] == value and type(settings[name]) is float
    assert settings.detector_options.threshold == whole["threshold"]
    settings.locked = True
    results = node.set_parameters([kind(name, value=value - 1) for name, value in whole.items()])
    refused = {name for name, result in zip(whole, results, strict=True) if not result.successful}
    assert refused == {
        name for name, value in whole.items() if value - 1 < BY_NAME[name].range.minimum
    }
    for name, value in whole.items():
        assert settings[name] == (value if name in refused else value - 1)
    assert not node.set_parameters([kind("threshold")])[0].successful
    node.destroy_node()


def _whole_number(setting: Setting) -> int:
    assert setting.range is not None
    return min(2, int(setting.range.maximum))


def test_ros_tools_are_told_what_a_parameter_is(ros_context: Any) -> None:
    node, _ = settings_on_a_node(ros_context)
    for setting in SETTINGS:
        told = node.describe_parameter(setting.name)
        assert told.description.startswith(setting.text)
        configured = "Read when the node is configured." in told.description
        assert configured is not (setting.live or setting.fixed)
        ranges = [*told.integer_range, *told.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == (
            [setting.range[:2]] if setting in NUMBERS else []
        )
        assert node.get_parameter(setting.name).value == setting.default
    node.destroy_node()


def test_a_file_with_whole_numbers_does_not_stop_the_node(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    from node_harness import image_message, picture

    params = tmp_path / "mine.yaml"
    params.write_text(
        "/**:\n  ros__parameters:\n    threshold: 1\n    sequence: none\n    no_image_warning: 60\n"
    )
    start_node("--params-file", str(params))
    client.image_publisher().publish(image_message(picture(0)))
    assert client.wait_for_answers(1)[0].threshold == 1.0
    params.write_text("/**:\n  ros__parameters:\n    threshold: 3\n")
    refused = start_node("--params-file", str(params))
    assert refused.process.wait(60) == 1
    assert refused.log.strip() == "error: threshold is 3.0, but must be a number from 0 to 2"
