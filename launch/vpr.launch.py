# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the place recognition node.

Parameters come from `params_file`. An argument of the same name as a parameter overrides it, and
only when it is given: that is why most defaults here are empty.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from floppynet_vpr.extraction import BACKENDS
from floppynet_vpr.network.weights import shipped_weights, weights_path

NODE_NAME = "vpr"
CONFIG = Path(get_package_share_directory("floppynet_vpr")) / "config"


def boolean(text: str) -> bool:
    """Read a launch argument that is true or false."""
    return text == "true"


def number(text: str) -> float:
    """Read a launch argument that is a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def new_file(text: str) -> str:
    """Read the name of a file that may not exist yet, as an absolute path."""
    path = Path(text).expanduser().resolve()
    if path.is_dir():
        raise ValueError(text)
    return str(path)


def existing_file(text: str) -> str:
    """Read a file name, from the folder where `ros2 launch` was called, as an absolute path."""
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        raise ValueError(text)
    return str(path)


def weights_file(text: str) -> str:
    """Read a weights file's name, or that of a network whose weights the package carries."""
    return existing_file(str(weights_path(text)))


def existing_files(text: str) -> str:
    """Read file names separated by ':', see `existing_file`."""
    return ":".join(existing_file(name) for name in text.split(":"))


# Arguments that override the parameter of the same name: how to read them, what they must be.
OVERRIDES: dict[str, tuple[Callable[[str], Any], str]] = {
    "mode": (str, "text"),
    "map": (existing_files, "an existing file, or several separated by ':'"),
    "save_map_to": (new_file, "a file, new or existing"),
    "pose_source": (str, "text"),
    "map_frame": (str, "text"),
    "weights": (weights_file, "an existing file, or a network whose weights the package carries"),
    "backend": (str, "text"),
    "threads": (int, "a whole number"),
    "image_transport": (str, "text"),
    "qos": (str, "text"),
    "queue_size": (int, "a whole number"),
    "top_k": (int, "a whole number"),
    "threshold": (number, "a number"),
    "sequence": (str, "text"),
    "verify": (boolean, "true or false"),
    "autostart": (boolean, "true or false"),
    "use_sim_time": (boolean, "true or false"),
}


def declared_arguments() -> list[DeclareLaunchArgument]:
    """Declare every argument with its default and what it means."""
    in_params_file = "Empty: as in params_file."
    return [
        DeclareLaunchArgument(
            "params_file",
            default_value=str(CONFIG / "vpr.yaml"),
            description="YAML file with the node's parameters. The default explains each of them.",
        ),
        DeclareLaunchArgument(
            "image",
            default_value="image",
            description="Camera topic (sensor_msgs/Image), such as /camera/image_raw. With "
            "image_transport:=compressed its compressed form, <image>/compressed, is used.",
        ),
        DeclareLaunchArgument(
            "odom",
            default_value="odom",
            description="Odometry topic (nav_msgs/Odometry), used with pose_source:=odometry.",
        ),
        DeclareLaunchArgument(
            "mode",
            default_value="",
            choices=["", "localization", "mapping", "both"],
            description="localization looks for loop closures in a map, mapping makes a map while "
            f"driving, both does both. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "map",
            default_value="",
            description=f"Reference map to load: a file made by build_map, or several "
            f"separated by ':'. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "save_map_to",
            default_value="",
            description="Map file that mapping writes, and goes on with if it exists. "
            f"{in_params_file}",
        ),
        DeclareLaunchArgument(
            "pose_source",
            default_value="",
            choices=["", "none", "odometry", "pose", "tf"],
            description="Where the poses of places come from: the odom topic, geometry_msgs/"
            f"PoseStamped on pose, or tf2. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "map_frame",
            default_value="",
            description=f"Frame of the map's poses. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "image_transport",
            default_value="",
            choices=["", "raw", "compressed"],
            description=f"Form of the images on the topic. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "qos",
            default_value="",
            choices=["", "auto", "sensor_data", "reliable"],
            description="Quality of service of the image subscription; auto follows the "
            f"publisher. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "queue_size",
            default_value="",
            description="Images that may wait, 1 to 1000; 1 keeps to the newest, more suits "
            f"replays. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "threshold",
            default_value="",
            description="Largest descriptor distance that counts as the same place, 0 to 2; 0 sets "
            f"itself. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "sequence",
            default_value="",
            choices=["", "none", "filter", "line"],
            description="none compares single images, filter and line follow the camera from place "
            f"to place. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "verify",
            default_value="",
            choices=["", "true", "false"],
            description="Verify candidates by geometry; the map must keep local features "
            f"(build_map --features). {in_params_file}",
        ),
        DeclareLaunchArgument(
            "top_k",
            default_value="",
            description=f"Candidates listed for each image, nearest first. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "weights",
            default_value="",
            description="Weights file, or a network whose weights the package carries: "
            f"{', '.join(shipped_weights())}. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "backend",
            default_value="",
            choices=["", *BACKENDS],
            description="How the network is computed; auto takes the fastest that works. "
            f"{in_params_file}",
        ),
        DeclareLaunchArgument(
            "threads",
            default_value="",
            description=f"Processor threads for the network. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "namespace",
            default_value="",
            description="Namespace of the node, such as robot1: it then answers on "
            "/robot1/vpr/loop_closure.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="",
            choices=["", "true", "false"],
            description=f"Take the time from /clock (simulators, ros2 bag play --clock). "
            f"{in_params_file}",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="",
            choices=["", "true", "false"],
            description="Configure and activate the node at once. false: a lifecycle manager or "
            f"`ros2 lifecycle set /{NODE_NAME} configure` does. {in_params_file}",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="The least severe messages the node prints.",
        ),
    ]


def overrides(given: dict[str, str]) -> dict[str, Any]:
    """Turn the arguments that were given into parameter values.

    Raises:
        RuntimeError: an argument is not what its parameter needs; says which.
    """
    values = {}
    for name, (read, needed) in OVERRIDES.items():
        if given[name] == "":
            continue
        try:
            values[name] = read(given[name])
        except ValueError:
            raise RuntimeError(f"{name}:={given[name]} must be {needed}") from None
    return values


def start_node(context: LaunchContext) -> list[Action]:
    """Start the node with what the arguments say."""
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in declared_arguments()
    }
    try:
        params_file = existing_file(given["params_file"])
    except ValueError:
        raise RuntimeError(
            f"params_file:={given['params_file']} must be an existing file"
        ) from None
    # The image argument names the base topic; people paste the compressed one just as often.
    image = given["image"].removesuffix("/compressed")
    logger = ".".join([*given["namespace"].strip("/").split("/"), NODE_NAME]).lstrip(".")
    values = overrides(given)
    return [
        LifecycleNode(
            package="floppynet_vpr",
            executable="vpr_node",
            name=NODE_NAME,
            namespace=given["namespace"],
            parameters=[params_file, values] if values else [params_file],
            remappings=[
                ("image", image),
                ("image/compressed", f"{image}/compressed"),
                ("odom", given["odom"]),
            ],
            ros_arguments=["--log-level", f"{logger}:={given['log_level']}"],
            output="screen",
            emulate_tty=True,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch for `ros2 launch floppynet_vpr vpr.launch.py`."""
    return LaunchDescription([*declared_arguments(), OpaqueFunction(function=start_node)])
