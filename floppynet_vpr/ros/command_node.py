# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A node that lives as long as a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from floppynet_vpr.ros.initialization import init_ros
from floppynet_vpr.text import shown


@contextmanager
def command_node(name: str, words: Sequence[str]) -> Iterator[Node]:
    """Start ROS with a command's words, of which it takes those behind --ros-args; give a node."""
    # Ctrl-C then is Python's KeyboardInterrupt, wherever it hits.
    init_ros(args=[shown(word) for word in words], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name, start_parameter_services=False)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown()
