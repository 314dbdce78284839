# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Starting ROS, where what keeps it from that is told in a sentence, and spinning until its end."""

from __future__ import annotations

from typing import Any

import rclpy
from rclpy.executors import Executor, ExternalShutdownException

from floppynet_vpr.errors import VprError
from floppynet_vpr.surroundings import what_is_denied


def init_ros(**options: Any) -> None:
    """Call `rclpy.init`; raises VprError for a remapping that cannot be read and the like."""
    try:
        rclpy.init(**options)
    except UnicodeEncodeError as error:
        raise VprError(f"ROS 2 cannot start: {what_is_denied(error)}") from error
    except RuntimeError as error:  # rcl's
        reason = " ".join(str(error).split(", at ")[0].split())
        if "log" in reason and "directory" in reason:
            reason += ". Name a folder that can be written to: ROS_LOG_DIR=<folder>"
        raise VprError(f"ROS 2 cannot start: {reason}") from error


def spin_until_shutdown(executor: Executor) -> None:
    """Execute callbacks until the executor's context is shut down, by a signal for instance."""
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except RuntimeError:
        # rcl's, where the shutdown comes while the executor prepares to wait.
        if executor.context.ok():
            raise
