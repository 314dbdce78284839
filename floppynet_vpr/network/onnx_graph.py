# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A network of the family as an ONNX graph of ordinary float32 operators.

Pixels stay 0 to 255 and the weights are +-1, so every sum is an integer below 2**24 and float32
holds it exactly: the graph gives the very integers of the packed extractor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from floppynet_vpr.errors import VprError
from floppynet_vpr.network.layers import INPUT_SHAPE, Conv, layer_shapes
from floppynet_vpr.network.onnx_file import OnnxGraph
from floppynet_vpr.network.thresholds import conv_threshold
from floppynet_vpr.network.weights import NetworkWeights

INPUT_NAME = "image"
OUTPUT_NAME = "pool5"


def onnx_model(weights: NetworkWeights, layers: Sequence[str] = (OUTPUT_NAME,)) -> bytes:
    """Write `weights` as an ONNX model.

    Input `image`: (batch, 227, 227, 3) uint8 RGB. Output `pool5`: (batch, 6, 6, 256) int16, not
    normalised. Other `layers` become outputs of those names, each the sums of a convolution or the
    largest of them behind a pool: (batch, rows, columns, channels) int16, and int32 for the first
    convolution and its pool. Raises VprError for a layer that the network does not have.
    """
    shapes = {step.layer.name: step.output for step in layer_shapes(weights.spec)}
    for name in layers:
        if name not in shapes:
            raise VprError(f"{weights.spec.title} has no layer {name}: it has {', '.join(shapes)}")
    graph = OnnxGraph(
        weights.spec.name, {"network": weights.spec.name, "fingerprint": weights.fingerprint}
    )
    image = graph.add_input(INPUT_NAME, "uint8", ("batch", *INPUT_SHAPE))
    value = graph.add_node("Cast", [image], "image_float", to=1)
    value = graph.add_node("Transpose", [value], "image_planes", perm=(0, 3, 1, 2))
    maps = {}
    for layer in weights.spec.layers:
        if isinstance(layer, Conv):
            if layer is not weights.spec.convs[0]:
                value = _add_sign(graph, value, layer, weights)
                value = _add_padding(graph, value, layer, weights.padding_value)
            filters = weights.convs[layer.name].filters.transpose(0, 3, 1, 2).astype(np.float32)
            constant = graph.add_constant(f"{layer.name}_filters", filters)
            strides = (layer.stride, layer.stride)
            value = graph.add_node("Conv", [value, constant], f"{layer.name}_sums", strides=strides)
        else:
            value = graph.add_node(
                "MaxPool", [value], f"{layer.name}_planes", kernel_shape=(2, 2), strides=(2, 2)
            )
        maps[layer.name] = value
    first_sums = {layer.name for layer in weights.spec.layers[:2]}
    for name in layers:
        wide = name in first_sums
        value = graph.add_node("Transpose", [maps[name]], f"{name}_float", perm=(0, 2, 3, 1))
        graph.add_node("Cast", [value], name, to=6 if wide else 5)
        graph.add_output(name, "int32" if wide else "int16", ("batch", *shapes[name]))
    return graph.to_bytes()


def _add_sign(graph: OnnxGraph, value: str, layer: Conv, weights: NetworkWeights) -> str:
    """Compare with the integer threshold, half a step below it so that no zero reaches Sign."""
    sign = conv_threshold(weights, layer)
    halfway = (sign.threshold - np.float32(0.5)).astype(np.float32).reshape(-1, 1, 1)
    constant = graph.add_constant(f"{layer.name}_threshold", halfway)
    value = graph.add_node("Sub", [value, constant], f"{layer.name}_difference")
    value = graph.add_node("Sign", [value], f"{layer.name}_sign")
    if sign.flip.any():
        turn = np.where(sign.flip, -1, 1).astype(np.float32).reshape(-1, 1, 1)
        constant = graph.add_constant(f"{layer.name}_flip", turn)
        value = graph.add_node("Mul", [value, constant], f"{layer.name}_turned")
    return value


def _add_padding(graph: OnnxGraph, value: str, layer: Conv, padding_value: int) -> str:
    sides = np.array([0, 0, layer.pad, layer.pad] * 2, np.int64)
    constants = [
        graph.add_constant(f"{layer.name}_pad_sides", sides),
        graph.add_constant(f"{layer.name}_pad_value", np.array(padding_value, np.float32)),
    ]
    return graph.add_node("Pad", [value, *constants], f"{layer.name}_padded", mode="constant")
