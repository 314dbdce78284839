# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The loss: classes by cross entropy, places by InfoNCE over two views."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """InfoNCE between two views of the same batch of places.

    The maps, (batch, 256, h, w), are L2-normalised whole (eq. 5). Row i of one view has to find
    row i of the other among all of the batch, both ways.
    """
    a, b = (functional.normalize(maps.float().flatten(1), dim=1) for maps in (first, second))
    similarity = a @ b.T / temperature
    target = torch.arange(len(a))
    forward = functional.cross_entropy(similarity, target)
    return (forward + functional.cross_entropy(similarity.T, target)) / 2
