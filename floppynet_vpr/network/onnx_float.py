# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The full-precision Baseline as an ONNX graph, with random weights: to measure its time.

Its layers are those of Table II: convolution, bias, ReLU, and the BatchNorm between them folded
into weights and bias.
"""

from __future__ import annotations

import numpy as np

from floppynet_vpr.network.layers import INPUT_SHAPE, NETWORKS, Conv, filter_shapes, output_shape
from floppynet_vpr.network.onnx_file import OnnxGraph


def random_baseline(seed: int = 0) -> bytes:
    """Write the Baseline as an ONNX model with random weights.

    Input `image`: (1, 227, 227, 3) uint8 RGB. Output `pool5`: (1, 6, 6, 256) float32.
    """
    spec = NETWORKS["baseline"]
    rng = np.random.default_rng(seed)
    graph = OnnxGraph(spec.name)
    value = graph.add_input("image", "uint8", (1, *INPUT_SHAPE))
    value = graph.add_cast(value, "float32", "image_float")
    value = graph.add_node("Transpose", [value], "image_planes", perm=(0, 3, 1, 2))
    shapes = filter_shapes(spec)
    for layer in spec.layers:
        if isinstance(layer, Conv):
            out, rows, columns, channels = shapes[layer.name]
            # Of a size that keeps activations of one size through the layers.
            spread = np.sqrt(2 / (rows * columns * channels))
            filters = rng.normal(0, spread, (out, channels, rows, columns)).astype(np.float32)
            constants = [
                graph.add_constant(f"{layer.name}_filters", filters),
                graph.add_constant(f"{layer.name}_bias", np.zeros(out, np.float32)),
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
    graph.add_node("Transpose", [value], "pool5", perm=(0, 2, 3, 1))
    graph.add_output("pool5", "float32", (1, *output_shape(spec)))
    return graph.to_bytes()
