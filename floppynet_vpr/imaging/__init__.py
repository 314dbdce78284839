# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From an image payload as plain values to the network's 227x227 RGB input."""
