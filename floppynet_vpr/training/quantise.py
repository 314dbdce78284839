# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Quantisers with straight-through gradients: the sign, and DoReFa's k bits.

The forward pass sees quantised values, the backward pass the latent ones behind them. Quantised
values are integers, as in every extractor, and bfloat16 holds those of 8 bits exactly; what the
layers compute from them is too large by a known unit (`network.thresholds.sum_unit`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from floppynet_vpr.network.bits import highest_level

FULL_PRECISION = 32


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() <= 1)


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1; the gradient passes where |x| <= 1 and is cancelled elsewhere."""
    return _Sign.apply(x)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def _codes(x: Tensor, bits: int) -> Tensor:
    """Round values of 0 to 1 to codes of 0 to 2**bits - 1, gradient straight through."""
    return _Round.apply(x * highest_level(bits))


def quantise_weights(latent: Tensor, bits: int) -> Tensor:
    """Weights of a layer: `sign` for 1 bit, odd integers for k, as is for 32.

    k bits: (2**k - 1) (2 q(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1), with q rounding to 2**k levels
    of 0 to 1: DoReFa's weights in units of 1 / (2**k - 1).
    """
    if bits == FULL_PRECISION:
        return latent
    if bits == 1:
        return sign(latent)
    squashed = torch.tanh(latent)
    largest = squashed.detach().abs().amax().clamp_min(1e-12)
    return 2 * _codes(squashed / (2 * largest) + 0.5, bits) - highest_level(bits)


def quantise_activations(x: Tensor, bits: int) -> Tensor:
    """Activations: `sign` for 1 bit, codes of x clipped to [0, 1] for k, ReLU for 32.

    Codes are DoReFa's activations in units of 1 / (2**k - 1): 0 to 2**k - 1.
    """
    if bits == FULL_PRECISION:
        return torch.relu(x)
    return sign(x) if bits == 1 else _codes(x.clamp(0, 1), bits)
