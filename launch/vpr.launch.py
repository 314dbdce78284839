# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the place recognition node.

Parameters come from `params_file`. An argument of the same name as a parameter overrides it, and
only when it is given: that is why the defaults of these are empty.
"""

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

from floppynet_vpr.files import user_path
from floppynet_vpr.parameters import INPUT_TOPICS, OUTPUT_TOPICS, SETTINGS, Setting

NODE_NAME = "vpr"
CONFIG = Path(get_package_share_directory("floppynet_vpr")) / "config"
# Every node has this one.
USE_SIM_TIME = Setting(
    "use_sim_time", False, "Take the time from /clock (simulators, ros2 bag play --clock)."
)
PARAMETERS = (*SETTINGS, USE_SIM_TIME)
TOPICS = {**INPUT_TOPICS, **OUTPUT_TOPICS}


def declared_arguments() -> list[DeclareLaunchArgument]:
    """Declare every argument with its default and what it means."""
    return [
        DeclareLaunchArgument(
            "params_file",
            default_value=str(CONFIG / "vpr.yaml"),
            description="YAML file with the node's parameters. The default explains each of them.",
        ),
        *(
            DeclareLaunchArgument(name, default_value=name, description=text)
            for name, text in TOPICS.items()
        ),
        *map(argument_of, PARAMETERS),
        DeclareLaunchArgument(
            "namespace",
            default_value="",
            description="Namespace of the node, such as robot1: it then answers on "
            "/robot1/vpr/loop_closure.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="The least severe messages the node prints.",
        ),
    ]


def argument_of(setting: Setting) -> DeclareLaunchArgument:
    """Declare the argument that overrides a parameter."""
    needed = "" if setting.choices or setting.allowed == "text" else f" Must be {setting.allowed}."
    return DeclareLaunchArgument(
        setting.name,
        default_value="",
        choices=["", *setting.choices] if setting.choices else None,
        description=f"{setting.text}{needed} Not given: as in params_file "
        f"({setting.written_default} by default).",
    )


def overrides(given: dict[str, str]) -> dict[str, Any]:
    """Turn the arguments that were given into parameter values.

    Raises:
        VprError: an argument is not what its parameter needs; says which.
    """
    values: dict[str, Any] = {}
    for setting in PARAMETERS:
        if given[setting.name] != "":
            value = setting.read(given[setting.name])
            # Launch reads text as YAML, unless told otherwise: "1" would be a number.
            text = isinstance(value, str)
            values[setting.name] = ParameterValue(value, value_type=str) if text else value
    return values


def start_node(context: LaunchContext) -> list[Action]:
    """Start the node with what the arguments say."""
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in declared_arguments()
    }
    params_file = user_path(given["params_file"])
    if not params_file.is_file():
        raise RuntimeError(f"params_file:={given['params_file']} must be an existing file")
    topics = {name: given[name] for name in TOPICS}
    # The argument names the base topic; people paste the compressed one just as often.
    topics["image"] = topics["image"].removesuffix("/compressed")
    topics["image/compressed"] = f"{topics['image']}/compressed"
    logger = ".".join([*given["namespace"].strip("/").split("/"), NODE_NAME]).lstrip(".")
    values = overrides(given)
    return [
        LifecycleNode(
            package="floppynet_vpr",
            executable="vpr_node",
            name=NODE_NAME,
            namespace=given["namespace"],
            parameters=[str(params_file), values] if values else [str(params_file)],
            remappings=list(topics.items()),
            ros_arguments=["--log-level", f"{logger}:={given['log_level']}"],
            output="screen",
            emulate_tty=True,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch for `ros2 launch floppynet_vpr vpr.launch.py`."""
    return LaunchDescription([*declared_arguments(), OpaqueFunction(function=start_node)])
