# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A map that many robots share: places in PostgreSQL, a copy of them on each robot."""
