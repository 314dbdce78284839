# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How many cores training takes."""


def use_threads(count: int) -> None:
    """Let torch compute on `count` CPU threads; raises ImportError where it is not installed."""
    import torch

    torch.set_num_threads(count)
