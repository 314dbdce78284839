# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a network is: its layers as data, its sizes and MACs, its packed weights and their file."""
