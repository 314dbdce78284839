# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the networks of the family; the only room that knows torch.

Every module here may import torch at its top, except `recipe` and `threads`, which the command line
reads.
"""
