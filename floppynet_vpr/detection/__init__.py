# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From nearest neighbours to loop-closure candidates."""
