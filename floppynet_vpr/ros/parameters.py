# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters on a node: declared from the table, checked, and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from floppynet_vpr.detection import DetectorOptions, VerificationOptions
from floppynet_vpr.detection.growth import GrowthOptions
from floppynet_vpr.errors import VprError
from floppynet_vpr.mapping.keyframes import KeyframeLimits
from floppynet_vpr.parameters import SETTINGS, Setting


class NodeParameters:
    """Declares the settings on a node and gives their current values."""

    def __init__(self, node: Node) -> None:
        """Declare everything; raises VprError when a value given at start is not allowed."""
        self.locked = False
        """Whether the settings that are not live are in use and may not change."""
        self._started = False
        self._node = node
        self._settings = {setting.name: setting for setting in SETTINGS}
        self._refusal = ""
        node.add_on_set_parameters_callback(self._check)
        try:
            for setting in SETTINGS:
                # Described only then: rclpy would check type and range first, in words of its own.
                unchecked = ParameterDescriptor(dynamic_typing=True)
                node.declare_parameter(setting.name, setting.default, unchecked)
                node.set_descriptor(setting.name, _descriptor(setting))
        except InvalidParameterValueException:
            raise VprError(self._refusal) from None
        self._started = True
        self._tell_unknown()

    def _tell_unknown(self) -> None:
        """Warn of what was given at start and is no parameter: misspelt, most likely."""
        told = []
        for name in getattr(self._node, "_parameter_overrides", {}):
            if not self._node.has_parameter(name) and not name.startswith("qos_overrides."):
                meant = get_close_matches(name, self._settings, 1)
                told.append(f"{name} ({meant[0]}?)" if meant else name)
        if told:
            self._node.get_logger().warning(
                f"ignored, for this node has no such parameter: {', '.join(told)}"
            )

    def __getitem__(self, name: str) -> Any:
        return self._settings[name].checked(self._node.get_parameter(name).value)

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

    @property
    def growth_options(self) -> GrowthOptions:
        """Where the growth of the map ends."""
        return GrowthOptions(**{option.name: self[option.name] for option in fields(GrowthOptions)})

    def _check(self, parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
        try:
            for parameter in parameters:
                setting = self._settings.get(parameter.name)
                if setting is not None:
                    self._require(setting, setting.checked(parameter.value))
        except VprError as error:
            self._refusal = str(error)
            return SetParametersResult(successful=False, reason=self._refusal)
        return SetParametersResult(successful=True)

    def _require(self, setting: Setting, value: object) -> None:
        if self._started and setting.fixed and value != self[setting.name]:
            raise VprError(f"{setting.name} is given when the node is started, and never changed")
        if self.locked and not setting.live and value != self[setting.name]:
            raise VprError(
                f"{setting.name} is read when the node is configured: deactivate and clean up "
                "the node first, or start it with the new value"
            )


def _descriptor(setting: Setting) -> ParameterDescriptor:
    """Describe a parameter for ROS tools."""
    descriptor = ParameterDescriptor(
        description=setting.text,
        additional_constraints=f"must be {setting.allowed}",
        # The type is checked here: rclpy would not take 1 for 1.0.
        dynamic_typing=True,
    )
    if setting.fixed:
        descriptor.description += " Given when the node is started."
    elif not setting.live:
        descriptor.description += " Read when the node is configured."
    if setting.range is not None:
        least, most, _ = setting.range
        if isinstance(setting.default, float):
            limits = FloatingPointRange(from_value=least, to_value=most)
            descriptor.floating_point_range = [limits]
        else:
            whole = IntegerRange(from_value=int(least), to_value=int(most))
            descriptor.integer_range = [whole]
    return descriptor
