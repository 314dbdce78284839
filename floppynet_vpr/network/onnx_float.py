# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A full-precision network, such as the Baseline, as an ONNX graph.

Its layers are those of Table II: convolution, bias, ReLU, and the BatchNorm between them folded
into weights and bias. `evaluate` takes it as a network of another kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.network.layers import (
    INPUT_SHAPE,
    NETWORKS,
    Conv,
    NetworkSpec,
    filter_shapes,
    output_shape,
)
from floppynet_vpr.network.onnx_file import OnnxGraph
from floppynet_vpr.network.onnx_graph import INPUT_NAME, OUTPUT_NAME


@dataclass(frozen=True)
class FloatConv:
    """A convolution in full precision, on what pixels of 0 to 255 lead to.

    `filters` is (out, in, kernel, kernel) float32, `bias` (out,) float32.
    """

    filters: NDArray[np.float32]
    bias: NDArray[np.float32]


def float_model(spec: NetworkSpec, convs: Mapping[str, FloatConv]) -> bytes:
    """Write a network, its convolutions by name, as an ONNX model.

    Input `image`: (1, 227, 227, 3) uint8 RGB. Output `pool5`: (1, 6, 6, 256) float32, not
    normalised.
    """
    graph = OnnxGraph(spec.name, {"network": spec.name})
    value = graph.add_input(INPUT_NAME, "uint8", (1, *INPUT_SHAPE))
    value = graph.add_cast(value, "float32", "image_float")
    value = graph.add_node("Transpose", [value], "image_planes", perm=(0, 3, 1, 2))
    for layer in spec.layers:
        if isinstance(layer, Conv):
            constants = [
                graph.add_constant(f"{layer.name}_filters", convs[layer.name].filters),
                graph.add_constant(f"{layer.name}_bias", convs[layer.name].bias),
            ]
            value = graph.add_node(
                "Conv",
                [value, *constants],
                layer.name,
                strides=(layer.stride, layer.stride),
                pads=(layer.pad,) * 4,
            )
            value = graph.add_node("Relu", [value], f"{layer.name}_relu")
        else:
            value = graph.add_node(
                "MaxPool", [value], f"{layer.name}_planes", kernel_shape=(2, 2), strides=(2, 2)
            )
    graph.add_node("Transpose", [value], OUTPUT_NAME, perm=(0, 2, 3, 1))
    graph.add_output(OUTPUT_NAME, "float32", (1, *output_shape(spec)))
    return graph.to_bytes()


def random_baseline() -> bytes:
    """Write the Baseline with random weights: to measure its time."""
    spec = NETWORKS["baseline"]
    rng = np.random.default_rng(0)
    convs = {}
    for name, (out, rows, columns, channels) in filter_shapes(spec).items():
        # Of a size that keeps activations of one size through the layers.
        spread = np.sqrt(2 / (rows * columns * channels))
        filters = rng.normal(0, spread, (out, channels, rows, columns)).astype(np.float32)
        convs[name] = FloatConv(filters, np.zeros(out, np.float32))
    return float_model(spec, convs)


def description(spec: NetworkSpec, size_kib: float) -> str:
    """The .yaml file that goes beside the model, which tells `evaluate` how to feed it."""
    height, width, _ = INPUT_SHAPE
    return (
        f"title: {spec.title}\n"
        f"size_kib: {size_kib:.1f}\n"
        f"input: {{height: {height}, width: {width}, order: NHWC, dtype: uint8}}\n"
        f"outputs:\n  - {{layer: {OUTPUT_NAME}, output: {OUTPUT_NAME}}}\n"
    )
