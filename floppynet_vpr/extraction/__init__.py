# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From the network's input to pool5 integers and L2-normalised descriptors."""
