# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Loop closures as a pose graph: built, optimised, written for other back-ends."""
