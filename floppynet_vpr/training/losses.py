# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The losses beside cross entropy: places by InfoNCE over two views, likeness by a teacher."""

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


def distillation(maps: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far a network is from finding the same pictures alike as its teacher does.

    Both (batch, 256, h, w) maps of the same pictures, L2-normalised whole (eq. 5). Each picture
    gives a distribution over the others, softmax(similarity / temperature); the loss is the mean
    Kullback-Leibler divergence from the teacher's.
    """
    own, wanted = (_likeness(values, temperature) for values in (maps, teacher))
    return functional.kl_div(own, wanted, reduction="batchmean", log_target=True)


def _likeness(maps: Tensor, temperature: float) -> Tensor:
    """Log of the share of each other picture, (batch, batch - 1)."""
    found = functional.normalize(maps.float().flatten(1), dim=1)
    others = ~torch.eye(len(found), dtype=torch.bool)
    similarity = (found @ found.T)[others].reshape(len(found), -1)
    return (similarity / temperature).log_softmax(1)
