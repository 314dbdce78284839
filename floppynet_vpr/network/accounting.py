# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters, bytes and multiply-accumulates of a network, derived from its layer table."""

from __future__ import annotations

import math
from dataclasses import dataclass

from floppynet_vpr.network.layers import Conv, NetworkSpec, filter_shapes, layer_shapes

FULL_PRECISION = 32


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs; a pool has no parameters and no MACs.

    `extra_floats` counts the float32 values beside the filters: scale and shift of the
    BatchNorm channels and, in full precision, the bias.
    """

    name: str
    output: tuple[int, int, int]
    parameters: int
    extra_floats: int
    macs: int


@dataclass(frozen=True)
class NetworkCost:
    """A network's size on disk and its work for one image (Table III)."""

    layers: tuple[LayerCost, ...]
    size_bytes: int
    real_macs: int
    binary_macs: int

    @property
    def parameters(self) -> int:
        """All filter weights together."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def kib(self) -> float:
        """The size in KiB (1,024 bytes)."""
        return self.size_bytes / 1024

    @property
    def macs(self) -> int:
        """All multiply-accumulates, whatever their precision."""
        return self.real_macs + self.binary_macs


def size_up_to(spec: NetworkSpec, layer: str) -> int:
    """Bytes of the layers up to `layer` (included), all that a descriptor of it needs."""
    size_bits = 0
    for cost in network_cost(spec).layers:
        size_bits += cost.parameters * spec.weight_bits + 32 * cost.extra_floats
        if cost.name == layer:
            break
    return size_bits // 8


def network_cost(spec: NetworkSpec) -> NetworkCost:
    """Work out what `spec` costs from its layer table.

    Real MACs are those with a real-valued input: the first convolution, or every one in a
    full-precision network; the others are binary (or k-bit).
    """
    shapes = filter_shapes(spec)
    full = spec.weight_bits == FULL_PRECISION
    layers = []
    for step in layer_shapes(spec):
        parameters = extra = macs = 0
        if isinstance(step.layer, Conv):
            parameters = math.prod(shapes[step.layer.name])
            macs = parameters * step.output[0] * step.output[1]
            # Full precision: BatchNorm after each convolution, and a bias. Binary: BatchNorm in
            # front of each convolution but the first, which reads the image itself.
            if full:
                extra = 3 * step.layer.filters
            elif step.layer is not spec.convs[0]:
                extra = 2 * step.input[2]
        layers.append(LayerCost(step.layer.name, step.output, parameters, extra, macs))

    size_bits = sum(
        layer.parameters * spec.weight_bits + 32 * layer.extra_floats for layer in layers
    )
    total = sum(layer.macs for layer in layers)
    real = total if full else layers[0].macs
    return NetworkCost(tuple(layers), size_bits // 8, real, total - real)
