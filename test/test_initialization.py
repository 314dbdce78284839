# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""ROS ends without a word, whenever it is shut down, and faults are not taken for its end."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from rclpy.executors import SingleThreadedExecutor

from floppynet_vpr.ros.initialization import spin_until_shutdown


class ShutDownBeforeTheWait(SingleThreadedExecutor):
    """Is shut down when it has seen that it is not, and is about to make what it waits with."""

    raised = ""

    def get_nodes(self) -> list[Any]:
        self.context.try_shutdown()
        return super().get_nodes()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        try:
            super().spin_once(timeout_sec)
        except RuntimeError as error:
            self.raised = str(error)
            raise


def test_a_shutdown_just_before_a_wait_ends_the_spinning(ros_context: Any) -> None:
    node = rclpy.create_node("spun", context=ros_context)
    executor = ShutDownBeforeTheWait(context=ros_context)
    executor.add_node(node)
    spin_until_shutdown(executor)
    assert "context is not valid" in executor.raised


def test_an_error_while_ros_runs_is_raised(ros_context: Any) -> None:
    def fail() -> None:
        raise RuntimeError("a fault")

    node = rclpy.create_node("spun", context=ros_context)
    node.create_timer(0.001, fail)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    with pytest.raises(RuntimeError, match="a fault"):
        spin_until_shutdown(executor)
