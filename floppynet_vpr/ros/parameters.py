# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters as data: defaults, ranges, choices, and which may change while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from floppynet_vpr.detection import SEQUENCE_CHOICES, DetectorOptions, VerificationOptions
from floppynet_vpr.extraction import BACKENDS
from floppynet_vpr.mapping.keyframes import KeyframeLimits

QOS_CHOICES = ("auto", "sensor_data", "reliable")
TRANSPORTS = ("raw", "compressed")
LOCALIZATION, MAPPING, BOTH = "localization", "mapping", "both"
MODES = (LOCALIZATION, MAPPING, BOTH)
POSE_SOURCES = ("none", "odometry", "pose", "tf")


@dataclass(frozen=True)
class Setting:
    """One parameter; `live` means that setting it takes effect while the node runs."""

    name: str
    default: bool | int | float | str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Describe the parameter for ROS tools."""
        descriptor = ParameterDescriptor(description=self.description)
        if self.choices:
            descriptor.additional_constraints = f"one of {', '.join(self.choices)}"
        if not self.live:
            descriptor.description += " Read when the node is configured."
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, int):
                limits = IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum))
                descriptor.integer_range = [limits]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=self.minimum, to_value=self.maximum)
                ]
        return descriptor


SETTINGS: tuple[Setting, ...] = (
    Setting("autostart", True, "Configure and activate at start, without a lifecycle manager."),
    Setting(
        "mode",
        LOCALIZATION,
        "localization looks for loop closures in a map and never changes it; mapping adds places "
        "to the map while driving; both does both.",
        choices=MODES,
    ),
    Setting(
        "map",
        "",
        "Reference map, a file made by build_map, or several separated by ':'; empty: none.",
    ),
    Setting(
        "save_map_to",
        "",
        "Map file that mapping writes, and goes on with if it exists; empty: none.",
    ),
    Setting(
        "save_period", 30.0, "Seconds between two savings of that file.", 0.5, 3600.0, live=True
    ),
    Setting(
        "keyframe_distance",
        0.3,
        "Descriptor distance (0 to 2) from the last place at which an image becomes one.",
        0.0,
        2.0,
        live=True,
    ),
    Setting(
        "keyframe_seconds",
        0.0,
        "Seconds from the last place that an image must be, too.",
        0.0,
        3600.0,
        live=True,
    ),
    Setting(
        "keyframe_metres",
        0.5,
        "Where poses are known, metres from the last place that an image must be, too; turning "
        "by keyframe_degrees will do instead; 0: does not count.",
        0.0,
        10000.0,
        live=True,
    ),
    Setting(
        "keyframe_degrees",
        15.0,
        "Degrees turned since the last place that do instead of keyframe_metres; 0: do not count.",
        0.0,
        180.0,
        live=True,
    ),
    Setting(
        "pose_source",
        "none",
        "Where poses come from: odometry is nav_msgs/Odometry on 'odom', pose is "
        "geometry_msgs/PoseStamped on 'pose', tf is tf2 from map_frame to base_frame.",
        choices=POSE_SOURCES,
    ),
    Setting(
        "pose_tolerance",
        0.1,
        "Seconds that a pose may be from the image it is taken for.",
        0.001,
        10.0,
        live=True,
    ),
    Setting(
        "map_frame",
        "",
        "Frame of the map's poses; empty: that of the messages with poses, else 'map'.",
    ),
    Setting("base_frame", "base_link", "Frame of the robot, for pose_source tf."),
    Setting(
        "weights",
        "",
        "Weights file (.fnet), or a network whose weights the package carries; empty: floppynet.",
    ),
    Setting(
        "backend", "auto", "How to compute; auto takes the fastest that works.", choices=BACKENDS
    ),
    Setting("threads", 1, "CPU threads of the network and the search.", 1, 64),
    Setting(
        "image_transport",
        "raw",
        "raw subscribes to 'image', compressed to 'image/compressed'.",
        choices=TRANSPORTS,
    ),
    Setting(
        "qos", "auto", "QoS of the image topic; auto follows the publisher.", choices=QOS_CHOICES
    ),
    Setting(
        "queue_size",
        1,
        "Images that may wait while one is worked on, the oldest being dropped for a new one; 1 "
        "keeps to the newest, more is for replays in which every image counts.",
        1,
        1000,
    ),
    Setting("top_k", 5, "Candidates in each message.", 1, 50, live=True),
    Setting(
        "threshold",
        0.0,
        "Largest descriptor distance (0 to 2) at which a loop closure is detected; 0: sets itself.",
        0.0,
        2.0,
        live=True,
    ),
    Setting(
        "confidence",
        0.0,
        "Smallest score (0 to 1) at which a loop closure is detected; 0: sets itself.",
        0.0,
        1.0,
        live=True,
    ),
    Setting(
        "sequence",
        "none",
        "none compares single images; filter (a Bayes filter) and line (a search for straight "
        "lines through the map) follow the camera from place to place.",
        choices=SEQUENCE_CHOICES,
        live=True,
    ),
    Setting(
        "subtract_mean",
        False,
        "Compare images less what all images of their drive share, such as season or light.",
        live=True,
    ),
    Setting(
        "verify",
        False,
        "Verify candidates by geometry, with local features: a detection whose place fails is "
        "none. The map must keep them (build_map --features); a new map does, if this is true "
        "when the node is configured.",
        live=True,
    ),
    Setting(
        "verify_budget",
        30.0,
        "Milliseconds that the verification of an image may take; what it does not suffice for is "
        "left unchecked.",
        1.0,
        10000.0,
        live=True,
    ),
    Setting(
        "least_inliers",
        12,
        "Local features that must agree for a candidate to be verified.",
        8,
        1000,
        live=True,
    ),
    Setting(
        "exclude_images",
        20,
        "Places added to the map during the last so many images are not matched.",
        0,
        100000,
        live=True,
    ),
    Setting(
        "exclude_seconds",
        10.0,
        "Places whose stamps are less than this from the image's are not matched, if they were "
        "added since the map was loaded.",
        0.0,
        86400.0,
        live=True,
    ),
    Setting(
        "no_image_warning",
        5.0,
        "Seconds without an image after which the node says so.",
        0.5,
        3600.0,
        live=True,
    ),
)


class NodeParameters:
    """Declares the settings on a node and gives their current values."""

    def __init__(self, node: Node) -> None:
        """Declare everything.

        Raises rclpy's InvalidParameterValueException or InvalidParameterTypeException when a
        value given at start is not allowed.
        """
        self.locked = False
        """Whether the settings that are not live are in use and may not change."""
        self._node = node
        self._settings = {setting.name: setting for setting in SETTINGS}
        node.add_on_set_parameters_callback(self._check)
        for setting in SETTINGS:
            node.declare_parameter(setting.name, setting.default, setting.descriptor())

    def __getitem__(self, name: str) -> Any:
        """Return the current value of a setting."""
        return self._node.get_parameter(name).value

    @property
    def detector_options(self) -> DetectorOptions:
        """The settings of the detector, which bear the names of its options."""
        names = [option.name for option in fields(DetectorOptions)]
        return DetectorOptions(**{name: self[name] for name in names})

    @property
    def verification_options(self) -> VerificationOptions:
        """How candidates are verified."""
        return VerificationOptions(self["least_inliers"], self["verify_budget"])

    @property
    def keyframe_limits(self) -> KeyframeLimits:
        """How much an image must differ from the last place to become one."""
        names = [limit.name for limit in fields(KeyframeLimits)]
        return KeyframeLimits(**{name: self[f"keyframe_{name}"] for name in names})

    def _check(self, parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            setting = self._settings.get(parameter.name)
            if setting is None:
                continue
            if setting.choices and parameter.value not in setting.choices:
                reason = f"{setting.name} is '{parameter.value}': one of "
                return _refusal(reason + ", ".join(setting.choices))
            if self.locked and not setting.live and parameter.value != self[setting.name]:
                return _refusal(
                    f"{setting.name} is read when the node is configured: deactivate and clean up "
                    "the node first, or start it with the new value"
                )
        return SetParametersResult(successful=True)


def _refusal(reason: str) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=reason)
