# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A bond with nav2's lifecycle manager, which so learns that a node it manages has died."""

from __future__ import annotations

import importlib
from contextlib import ExitStack

from rclpy.lifecycle import LifecycleNode

from floppynet_vpr.ros.parameters import NodeParameters

_TOPIC = "bond"
_TIMEOUT_S = 4.0
"""As nav2's own nodes have it: after so long without a heartbeat the manager is taken for dead."""


def bond_with_manager(node: LifecycleNode, settings: NodeParameters) -> ExitStack:
    """Bond a managed node with its manager, and say so; closing what is returned breaks the bond.

    A node that starts itself has no manager.
    """
    end = ExitStack()
    period = settings["bond_heartbeat_period"]
    if settings["autostart"] or not period:
        return end
    try:
        bondpy = importlib.import_module("bondpy.bondpy")
    except ImportError:
        node.get_logger().info(
            "no bond with a lifecycle manager, for bondpy is not installed (sudo apt install "
            "ros-$ROS_DISTRO-bondpy): a manager of nav2 then needs bond_timeout 0.0"
        )
        return end
    bond = bondpy.Bond(_TOPIC, node.get_name(), node)
    bond.set_heartbeat_period(period)
    bond.set_heartbeat_timeout(_TIMEOUT_S)
    bond.start()
    end.callback(bond.shutdown)
    node.get_logger().info(f"bond with a lifecycle manager on {_TOPIC}, every {period:g} s")
    return end
