# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Starts a place recognition node for each of several cameras, as one group.

Every argument of vpr.launch.py may be given as well; `{camera}` in one is replaced by each camera's
name. A node in Python cannot be composed into a container: each is a process of its own.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource

FILE = Path(get_package_share_directory("floppynet_vpr")) / "launch" / "vpr.launch.py"
CAMERA = "{camera}"
DEFAULTS = {"namespace": CAMERA, "image": f"/{CAMERA}/image_raw"}


def declared_arguments() -> list[DeclareLaunchArgument]:
    """Declare what is not passed on as it is."""
    return [
        DeclareLaunchArgument(
            "cameras",
            description="Names of the cameras, with commas between them, such as front,rear.",
        ),
        DeclareLaunchArgument(
            "namespace",
            default_value=DEFAULTS["namespace"],
            description="Namespace of each node: it answers on /front/vpr/loop_closure and so on.",
        ),
        DeclareLaunchArgument(
            "image",
            default_value=DEFAULTS["image"],
            description="Topic of each camera (sensor_msgs/Image).",
        ),
    ]


def start_nodes(context: LaunchContext) -> list[Action]:
    """Include vpr.launch.py once for each camera."""
    given = dict(context.launch_configurations)
    cameras = [name.strip() for name in given.pop("cameras").split(",") if name.strip()]
    if not cameras or len(set(cameras)) < len(cameras):
        raise RuntimeError("cameras:= must be names that differ, such as cameras:=front,rear")
    shared = [
        name
        for name in ("namespace", "save_map_to")
        if given.get(name) and CAMERA not in given[name] and len(cameras) > 1
    ]
    if shared:
        raise RuntimeError(f"{shared[0]}:= must differ between cameras: write {CAMERA} in it")
    source = PythonLaunchDescriptionSource(str(FILE))
    return [
        IncludeLaunchDescription(
            source,
            launch_arguments=[
                (name, value.replace(CAMERA, camera)) for name, value in given.items()
            ],
        )
        for camera in cameras
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch for `ros2 launch floppynet_vpr cameras.launch.py cameras:=front,rear`."""
    return LaunchDescription([*declared_arguments(), OpaqueFunction(function=start_nodes)])
