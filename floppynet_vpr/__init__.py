# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Loop closure for ROS 2 with FloppyNet, a binary network that fits on a floppy disk."""
