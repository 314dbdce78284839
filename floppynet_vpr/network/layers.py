# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The layer table of the network family, written once, as data (Table II of the paper).

Sizes, MACs, the weights file, the ONNX graph and the extractors are all derived from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from floppynet_vpr.errors import VprError

INPUT_SHAPE = (227, 227, 3)
"""Height, width and channels of every network's input: RGB, 0 to 255."""


@dataclass(frozen=True)
class Conv:
    """A square convolution C(kernel, stride, filters)."""

    name: str
    kernel: int
    stride: int
    filters: int

    @property
    def pad(self) -> int:
        """Rows and columns added on each side: none (VALID) when strided, else SAME."""
        return 0 if self.stride > 1 else self.kernel // 2


@dataclass(frozen=True)
class Pool:
    """A 2x2 max-pool of stride 2; an odd last row or column is dropped (VALID)."""

    name: str


Layer = Conv | Pool


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is, before any weights.

    `padding_value` is what SAME padding adds around a binary feature map: +1 or 0.
    `head_units` and `head_bits` describe the fully connected stage, which exists in training
    only. 32 bits mean full precision: float32 weights with a bias, ReLU in place of the sign.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    weight_bits: int
    activation_bits: int
    padding_value: int
    head_units: tuple[int, ...]
    head_bits: int

    @property
    def convs(self) -> tuple[Conv, ...]:
        """The convolutions, first to last."""
        return tuple(layer for layer in self.layers if isinstance(layer, Conv))


@dataclass(frozen=True)
class LayerShape:
    """A layer with the (height, width, channels) that it reads and writes."""

    layer: Layer
    input: tuple[int, int, int]
    output: tuple[int, int, int]


_CONV1 = (Conv("conv1", 11, 4, 96), Pool("pool1"))
_CONV2 = (Conv("conv2", 5, 1, 256), Pool("pool2"))
_CONV34 = (Conv("conv3", 3, 1, 384), Conv("conv4", 3, 1, 384))
_CONV5 = (Conv("conv5", 3, 1, 256), Pool("pool5"))
_DEEP: tuple[Layer, ...] = _CONV1 + _CONV2 + _CONV34 + _CONV5
_SHALLOW: tuple[Layer, ...] = _CONV1 + _CONV2 + _CONV5

NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec
    for spec in (
        NetworkSpec("baseline", "Baseline", _DEEP, 32, 32, 0, (4096, 4096), 32),
        NetworkSpec("binarynet", "BinaryNet", _DEEP, 1, 1, 0, (4096, 4096), 1),
        NetworkSpec("shallownet", "ShallowNet", _SHALLOW, 1, 1, 0, (4096, 4096), 1),
        NetworkSpec("floppynet", "FloppyNet", _SHALLOW, 1, 1, 1, (256, 256), 32),
        NetworkSpec("floppynet-2", "FloppyNet-2", _SHALLOW, 2, 2, 1, (256, 256), 32),
        NetworkSpec("floppynet-4", "FloppyNet-4", _SHALLOW, 4, 4, 1, (256, 256), 32),
        NetworkSpec("floppynet-8", "FloppyNet-8", _SHALLOW, 8, 8, 1, (256, 256), 32),
    )
}
"""The family by name (Table II)."""


def network_spec(name: str) -> NetworkSpec:
    """Look up a network by its name, in any case; raises `VprError` with the known names."""
    try:
        return NETWORKS[name.lower()]
    except KeyError:
        known = ", ".join(NETWORKS)
        raise VprError(f"unknown network '{name}': choose one of {known}") from None


def layer_shapes(spec: NetworkSpec) -> Iterator[LayerShape]:
    """Yield each layer of `spec` with the feature map sizes before and after it."""
    shape = INPUT_SHAPE
    for layer in spec.layers:
        height, width, channels = shape
        if isinstance(layer, Conv):
            rows, columns = (
                (side + 2 * layer.pad - layer.kernel) // layer.stride + 1
                for side in (height, width)
            )
            output = (rows, columns, layer.filters)
        else:
            output = (height // 2, width // 2, channels)
        yield LayerShape(layer, shape, output)
        shape = output


def output_shape(spec: NetworkSpec) -> tuple[int, int, int]:
    """Height, width and channels of the last feature map, (6, 6, 256) for the whole family."""
    return list(layer_shapes(spec))[-1].output


def filter_shapes(spec: NetworkSpec) -> dict[str, tuple[int, int, int, int]]:
    """The shape of each convolution's filters: out, kernel height, kernel width, in."""
    return {
        step.layer.name: (
            step.layer.filters,
            step.layer.kernel,
            step.layer.kernel,
            step.input[2],
        )
        for step in layer_shapes(spec)
        if isinstance(step.layer, Conv)
    }
