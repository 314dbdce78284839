# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Replays Lagout: a map of its reference drive, the node, and its query drive."""

from launch import LaunchDescription

from floppynet_vpr.ros.dataset_launch import describe_dataset


def generate_launch_description() -> LaunchDescription:
    """Describe the launch for `ros2 launch floppynet_vpr lagout.launch.py`."""
    return describe_dataset("lagout")
