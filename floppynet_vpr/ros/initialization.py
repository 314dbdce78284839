# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Starting ROS: what keeps it from that is told in a sentence."""

from __future__ import annotations

from typing import Any

import rclpy

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
