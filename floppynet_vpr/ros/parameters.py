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

from floppynet_vpr.detection import SEQUENCE_CHOICES, DetectorOptions
from floppynet_vpr.extraction import BACKENDS

QOS_CHOICES = ("auto", "sensor_data", "reliable")
TRANSPORTS = ("raw", "compressed")


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
    Setting("map", "", "Reference map, a file made by build_map; empty: none."),
    Setting("weights", "", "Weights file (.fnet); empty: the weights that the package carries."),
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
