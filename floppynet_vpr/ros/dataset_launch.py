# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files of all datasets share: bags and map if need be, node, replay.

Only launch files import this: the launch system comes with ROS distributions, not from PyPI.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.catalogue import load_dataset
from floppynet_vpr.datasets.dataset_bags import pair_files
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.extraction import BACKENDS
from floppynet_vpr.files import user_path
from floppynet_vpr.network.weights import shipped_weights
from floppynet_vpr.ros.processes import image_profile
from floppynet_vpr.ros.replay import DISCOVERY_S, KEEP_EVERY_IMAGE, after_exit, how_long

_LAST_ANSWERS_S = 2.0
"""After the last image the node has this long to answer."""


def declared_arguments(dataset: str) -> list[DeclareLaunchArgument]:
    """The arguments of a dataset's launch file, with their defaults and meanings."""
    title = load_dataset(dataset).title
    return [
        DeclareLaunchArgument(
            "root",
            default_value="",
            description=f"Folder with {title}, or the one that holds it. Needed once, to make the "
            "bags.",
        ),
        DeclareLaunchArgument(
            "folder",
            default_value=str(Path.home() / ".ros" / "floppynet_vpr"),
            description="Where the bags and the map are kept, and made if they are not there.",
        ),
        DeclareLaunchArgument(
            "bag", default_value="", description="Another bag to play in place of the query drive."
        ),
        DeclareLaunchArgument(
            "map", default_value="", description="Another map in place of the reference drive's."
        ),
        DeclareLaunchArgument(
            "weights",
            default_value="",
            description="Weights file (.fnet or .onnx), or a network whose weights are here: "
            f"{', '.join(shipped_weights())}. Empty: floppynet. A map of its own is made for each.",
        ),
        DeclareLaunchArgument(
            "backend",
            default_value="auto",
            choices=list(BACKENDS),
            description="How the network is computed; auto takes the fastest that works.",
        ),
        DeclareLaunchArgument(
            "rate",
            default_value="1.0",
            description="How fast to play: 2.0 plays twice as fast as the dataset was recorded.",
        ),
        DeclareLaunchArgument(
            "delay",
            default_value=str(DISCOVERY_S),
            description="Seconds before the first image, in which node and player find each other.",
        ),
        DeclareLaunchArgument(
            "rviz",
            default_value="false",
            choices=["true", "false"],
            description="Whether to look at the drive in RViz.",
        ),
    ]


def describe_dataset(dataset: str) -> LaunchDescription:
    """Describe the launch of a dataset: its map, the node, and its query drive played to it.

    `dataset` is a name or a .yaml file, so that a launch file for a dataset of one's own is three
    lines, too.
    """

    def prepare(context: LaunchContext) -> list[Action]:
        given = {
            argument.name: LaunchConfiguration(argument.name).perform(context)
            for argument in declared_arguments(dataset)
        }
        return _Run(dataset, given).actions()

    return LaunchDescription([*declared_arguments(dataset), OpaqueFunction(function=prepare)])


class _Run:
    """One run: which files are meant, and the actions that make and use them."""

    def __init__(self, dataset: str, given: dict[str, str]) -> None:
        """Work out the files; raises RuntimeError for arguments that cannot be."""
        self.dataset = dataset
        self.given = given
        self.folder = _path(given["folder"])
        spec = load_dataset(dataset)
        files = pair_files(self.folder, spec.name, spec.pairs[0])
        self.reference = files.reference
        self.query = _existing("bag", given["bag"]) or files.query
        weights = given["weights"]
        self.weights = _existing("weights", str(shipped_weights().get(weights, weights)))
        suffix = f"_{self.weights.stem}" if self.weights else ""
        default_map = self.folder / f"{files.reference.name}{suffix}.fvm"
        self.map = _existing("map", given["map"]) or default_map
        for name in ("rate", "delay"):
            try:
                positive = 0 < float(given[name]) < math.inf
            except ValueError:
                positive = False
            if not positive:
                raise RuntimeError(f"{name}:={given[name]} must be a positive number")
        if given["rviz"] == "true":
            _require_rviz()

    def actions(self) -> list[Action]:
        """What is to be made first, one after the other, then the node and the player."""
        steps: list[tuple[str, ExecuteProcess]] = []
        needs_reference = not self.map.exists() and not self.reference.exists()
        if needs_reference or not self.query.exists():
            if not self.given["root"]:
                raise RuntimeError(
                    f"there are no bags of {self.dataset} in {self.folder}: name the dataset's "
                    "folder once, root:=DIR, to make them"
                )
            root = str(_path(self.given["root"]))
            made = ["--dataset", self.dataset, "--root", root, "--output", str(self.folder)]
            steps.append(("making the bags", _command("make_bag", [*made, "--force"])))
        if not self.map.exists():
            building = [str(self.reference), "--output", str(self.map)]
            building += ["--backend", self.given["backend"]]
            building += ["--weights", str(self.weights)] if self.weights else []
            steps.append(("making the map", _command("build_map", building)))
        return _one_after_the_other(steps, OpaqueFunction(function=lambda _: self._node_and_bag()))

    def _node_and_bag(self) -> list[Action]:
        """Start the node and play the query drive to it; both end with the drive."""
        source = open_source(self.query)
        if not isinstance(source, BagFrames):
            raise RuntimeError(f"{self.query} must be a rosbag2, to be played")
        compressed = source.topic.endswith("/compressed")
        image = source.topic.removesuffix("/compressed")
        share = Path(get_package_share_directory("floppynet_vpr"))
        node = IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(share / "launch" / "vpr.launch.py")),
            launch_arguments=[
                ("map", str(self.map)),
                ("image", image),
                ("image_transport", "compressed" if compressed else "raw"),
                ("weights", str(self.weights or "")),
                ("backend", self.given["backend"]),
                ("use_sim_time", "true"),
                ("queue_size", str(KEEP_EVERY_IMAGE)),
            ],
        )
        player = _player(self.query, self.given["rate"], self.given["delay"])
        length = how_long(source.stamps_ns(), float(self.given["rate"]))
        ended = EmitEvent(event=Shutdown(reason="the drive has been played"))
        return [
            _when_the_node_fails(),
            node,
            *([_rviz(share, image)] if self.given["rviz"] == "true" else []),
            LogInfo(
                msg=f"playing {self.query} ({length}, see rate:=); "
                "the answers are on /vpr/loop_closure"
            ),
            _when_done(
                player, "the replay", [TimerAction(period=_LAST_ANSWERS_S, actions=[ended])]
            ),
            player,
        ]


def _one_after_the_other(steps: Sequence[tuple[str, ExecuteProcess]], last: Action) -> list[Action]:
    """Run commands in a row, each if the one before succeeded, then `last`."""
    following: list[Action] = [last]
    for text, process in reversed(steps):
        following = [LogInfo(msg=text), _when_done(process, text, following), process]
    return following


def _when_done(process: ExecuteProcess, text: str, then: list[Action]) -> RegisterEventHandler:
    def decide(event: object, context: LaunchContext) -> list[Action]:
        return after_exit(text, getattr(event, "returncode", 1), context.is_shutdown, then)

    return RegisterEventHandler(OnProcessExit(target_action=process, on_exit=decide))


def _when_the_node_fails() -> RegisterEventHandler:
    """End the launch: without the node nobody answers what is played."""

    def decide(event: ProcessExited, context: LaunchContext) -> list[Action]:
        if not event.process_name.startswith("vpr_node"):
            return []
        return after_exit("vpr_node", event.returncode, context.is_shutdown, [])

    return RegisterEventHandler(OnProcessExit(on_exit=decide))


def _command(name: str, arguments: Sequence[str]) -> ExecuteProcess:
    """One of the package's commands as a process."""
    return ExecuteProcess(
        cmd=[sys.executable, "-m", f"floppynet_vpr.commands.{name}", *arguments],
        name=name,
        additional_env=image_profile(),
        output="screen",
        emulate_tty=True,
    )


def _player(bag: Path, rate: str, delay: str) -> ExecuteProcess:
    """`ros2 bag play`, or the package's own player where rosbag2 is not installed."""
    try:
        get_package_share_directory("ros2bag")
        has_rosbag2 = shutil.which("ros2") is not None
    except PackageNotFoundError:
        has_rosbag2 = False
    if not has_rosbag2:
        return _command("play_bag", [str(bag), "--rate", rate, "--delay", delay, "--clock"])
    return ExecuteProcess(
        cmd=["ros2", "bag", "play", str(bag), "--rate", rate, "--delay", delay, "--clock"],
        name="ros2_bag_play",
        additional_env=image_profile(),
        output="screen",
    )


def _require_rviz() -> None:
    try:
        get_package_share_directory("rviz2")
    except PackageNotFoundError:
        raise RuntimeError("rviz:=true needs RViz: apt install ros-$ROS_DISTRO-rviz2") from None


def _rviz(share: Path, image: str) -> Node:
    """RViz, showing the images and what the node finds in them."""
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(share / "config" / "vpr.rviz")],
        parameters=[{"use_sim_time": True}],
        remappings=[("/image", image)],
    )


def _path(text: str) -> Path:
    """A path as a user writes it, from the folder where `ros2 launch` was called."""
    return user_path(text).absolute()


def _existing(name: str, value: str) -> Path | None:
    if not value:
        return None
    path = _path(value)
    if not path.exists():
        raise RuntimeError(f"{name}:={value} must be an existing file or bag")
    return path
