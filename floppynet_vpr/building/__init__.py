# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From drives to one map: described in this process or on a cluster, with the same result."""
