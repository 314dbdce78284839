# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The reference map: places and their descriptors, searched, saved and loaded."""
