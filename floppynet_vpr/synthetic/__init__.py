# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The synthetic street: what stands in it, how it is lit and how a camera sees it."""
