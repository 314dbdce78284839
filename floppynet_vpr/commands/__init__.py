# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One thin module for each `ros2 run floppynet_vpr <command>`."""
