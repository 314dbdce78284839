# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Any network of the family as a torch module, derived from the layer table.

Binary and k-bit: conv1 reads pixels; every later block is BatchNorm -> quantiser -> convolution
with SAME padding of the network's padding value -> max-pool. Full precision: convolution with bias
-> BatchNorm -> ReLU -> max-pool. In evaluation a quantised network computes exactly what the
extractors do: integers, compared with the folded BatchNorm without a rounding error.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from floppynet_vpr.network.bits import highest_level
from floppynet_vpr.network.layers import Conv, NetworkSpec, filter_shapes
from floppynet_vpr.network.thresholds import PIXEL_UNIT, level_thresholds, sum_bound, sum_unit
from floppynet_vpr.training.quantise import (
    FULL_PRECISION,
    quantise_activations,
    quantise_weights,
)

EPSILON = 1e-3
MOMENTUM = 0.1
"""torch's way to say the paper's BatchNorm momentum of 0.9."""

_EXACT_FLOATS = 2**24


class LatentConv(nn.Module):
    """A convolution whose real-valued latent weights, in [-1, 1], are quantised on the way."""

    def __init__(self, spec: NetworkSpec, conv: Conv, channels: int) -> None:
        super().__init__()
        self.bits, self.stride, self.pad = spec.weight_bits, conv.stride, conv.pad
        bits, self.padding_value, self.wide = spec.weight_bits, float(spec.padding_value), False
        if bits != FULL_PRECISION:
            self.padding_value *= highest_level(spec.activation_bits)
            self.wide = sum_bound(spec, conv) >= _EXACT_FLOATS
        latent = torch.empty(conv.filters, channels, conv.kernel, conv.kernel)
        self.latent = nn.Parameter(nn.init.xavier_uniform_(latent))
        full = bits == FULL_PRECISION
        self.bias = nn.Parameter(torch.zeros(conv.filters)) if full else None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, H, W) -> (batch, out, H', W'); in evaluation, exact sums of integers."""
        if self.pad:
            x = functional.pad(x, (self.pad,) * 4, value=self.padding_value)
        weights = quantise_weights(self.latent, self.bits)
        if self.wide and not self.training:
            return functional.conv2d(x.double(), weights.double(), None, self.stride)
        if self.stride == 1:
            return functional.conv2d(x, weights, self.bias)
        # Sums of pixels decide the first quantiser; rounded to bfloat16 they would flip so many of
        # its values that the gradient of these weights points elsewhere (cosine 0.83).
        with torch.autocast("cpu", enabled=False):
            return functional.conv2d(x.float(), weights.float(), self.bias, self.stride)


class FoldableNorm(nn.BatchNorm2d):
    """BatchNorm that, in evaluation, is the very `scale * x + shift` of the weights file."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, EPSILON, MOMENTUM)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Scale and shift, (channels,) float32 each."""
        assert self.running_mean is not None and self.running_var is not None
        deviation = torch.sqrt(self.running_var.double() + self.eps)
        scale = (self.weight.detach().double() / deviation).float()
        shift = self.bias.detach().double() - scale.double() * self.running_mean.double()
        return scale, shift.float()

    def exact_sign(self, x: Tensor, unit: float) -> Tensor:
        """Sign of `scale * x / unit + shift`, x being integers.

        Both products are exact in double precision, and a rounded sum keeps its sign.
        """
        scale, shift = (values.double().reshape(1, -1, 1, 1) for values in self.folded())
        return torch.where(x.double() * scale + unit * shift >= 0, 1.0, -1.0).float()


class Features(nn.Module):
    """The convolutional part: RGB pixels of 0 to 255, (batch, 3, H, W), to pool5."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        full = spec.weight_bits == FULL_PRECISION
        self.convs = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        for conv, shape in zip(spec.convs, filter_shapes(spec).values(), strict=True):
            self.convs[conv.name] = LatentConv(spec, conv, shape[3])
            if full or conv is not spec.convs[0]:
                self.norms[conv.name] = FoldableNorm(conv.filters if full else shape[3])

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute pool5; of a quantised network in evaluation the exact integers, as floats."""
        full = self.spec.weight_bits == FULL_PRECISION
        first = self.spec.convs[0].name
        x = pixels
        for layer in self.spec.layers:
            if not isinstance(layer, Conv):
                x = functional.max_pool2d(x, 2)
            elif full:
                x = x / PIXEL_UNIT if layer.name == first else x
                x = torch.relu(self.norms[layer.name](self.convs[layer.name](x)))
            else:
                if layer.name != first:
                    x = self._quantise(x, layer)
                x = self.convs[layer.name](x)
        return x

    def exact(self, x: Tensor, conv: Conv) -> Tensor:
        """BatchNorm and quantiser in front of `conv`, on exact sums of the convolution before."""
        spec, norm = self.spec, self.norms[conv.name]
        assert isinstance(norm, FoldableNorm)
        before = spec.convs[spec.convs.index(conv) - 1]
        unit = sum_unit(spec, before)
        if spec.activation_bits == 1:
            return norm.exact_sign(x, unit)
        scale, shift = (values.numpy() for values in norm.folded())
        levels = level_thresholds(
            scale, shift, unit, sum_bound(spec, before), highest_level(spec.activation_bits)
        )
        codes = levels.codes(x.permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(codes).permute(0, 3, 1, 2).float()

    def _quantise(self, x: Tensor, conv: Conv) -> Tensor:
        norm, bits = self.norms[conv.name], self.spec.activation_bits
        if not norm.training:
            return self.exact(x, conv)
        unit = sum_unit(self.spec, self.spec.convs[self.spec.convs.index(conv) - 1])
        # The levels of several bits are finer than bfloat16 is.
        values = x if bits == 1 else x.float()
        return quantise_activations(norm(values / unit), bits)


class _Dense(nn.Module):
    """A fully connected layer of the head in `bits` precision: binary ones have no bias."""

    def __init__(self, inputs: int, units: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.latent = nn.Parameter(nn.init.xavier_uniform_(torch.empty(units, inputs)))
        self.bias = nn.Parameter(torch.zeros(units)) if bits == FULL_PRECISION else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, quantise_weights(self.latent, self.bits), self.bias)


class Network(nn.Module):
    """Features and the fully connected stage that exists in training only."""

    def __init__(self, spec: NetworkSpec, classes: int, side: int) -> None:
        """Take the network, the number of classes and the side of the training views."""
        super().__init__()
        self.spec = spec
        self.features = Features(spec)
        inputs = spec.convs[-1].filters * pool5_side(spec, side) ** 2
        self.entry = nn.BatchNorm1d(inputs, EPSILON, MOMENTUM)
        self.hidden, self.hidden_norms = nn.ModuleList(), nn.ModuleList()
        for units in spec.head_units:
            self.hidden.append(_Dense(inputs, units, spec.head_bits))
            self.hidden_norms.append(nn.BatchNorm1d(units, EPSILON, MOMENTUM))
            inputs = units
        self.classifier = _Dense(inputs, classes, FULL_PRECISION)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Give pool5, (batch, 256, h, w), and the classes' scores, (batch, classes)."""
        pool5 = self.features(pixels)
        x = self.entry((pool5.float() if pool5.dtype == torch.double else pool5).flatten(1))
        for dense, norm in zip(self.hidden, self.hidden_norms, strict=True):
            if self.spec.head_bits == FULL_PRECISION:
                x = torch.relu(norm(dense(x)))
            else:
                x = norm(dense(quantise_activations(x, self.spec.head_bits)))
        return pool5, self.classifier(x)

    def clip_latent(self) -> None:
        """Keep the latent weights of quantised layers in [-1, 1]."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, LatentConv | _Dense) and module.bits != FULL_PRECISION:
                    module.latent.clamp_(-1, 1)


def pool5_side(spec: NetworkSpec, side: int) -> int:
    """Rows of pool5 for an input of `side` pixels: 6 for 227."""
    for layer in spec.layers:
        if isinstance(layer, Conv):
            side = (side + 2 * layer.pad - layer.kernel) // layer.stride + 1
        else:
            side //= 2
    return side
