# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How good the retrieval is: the paper's metrics and their figures."""
