# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side: nodes, messages, parameters, QoS and diagnostics."""
