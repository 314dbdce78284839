# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A network of the family as an ONNX graph of ordinary operators.

Pixels stay 0 to 255 and weights and activations are integers, so every sum is an integer, which
float32 holds exactly below 2**24: the graph gives the very integers of the other extractors. With
eight bits sums are larger; there the weights are taken in two halves of four bits, whose sums
float64 puts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.network.bits import highest_level
from floppynet_vpr.network.layers import INPUT_SHAPE, Conv, layer_shapes
from floppynet_vpr.network.onnx_file import OnnxGraph
from floppynet_vpr.network.thresholds import conv_levels, conv_threshold, sum_bound
from floppynet_vpr.network.weights import NetworkWeights

INPUT_NAME = "image"
OUTPUT_NAME = "pool5"
_EXACT_FLOATS = 2**24
_HALF_BITS = 4


def onnx_model(weights: NetworkWeights, layers: Sequence[str] = (OUTPUT_NAME,)) -> bytes:
    """Write `weights` as an ONNX model.

    Input `image`: (batch, 227, 227, 3) uint8 RGB. Output `pool5`: (batch, 6, 6, 256) int16, int32
    for more than one bit, not normalised. Other `layers` become outputs of those names, each the
    sums of a convolution or the largest of them behind a pool: (batch, rows, columns, channels) of
    the same type, but int32 for the first convolution and its pool. Raises VprError for a layer
    that the network does not have.
    """
    shapes = {step.layer.name: step.output for step in layer_shapes(weights.spec)}
    for name in layers:
        if name not in shapes:
            raise VprError(f"{weights.spec.title} has no layer {name}: it has {', '.join(shapes)}")
    graph = OnnxGraph(
        weights.spec.name, {"network": weights.spec.name, "fingerprint": weights.fingerprint}
    )
    image = graph.add_input(INPUT_NAME, "uint8", ("batch", *INPUT_SHAPE))
    value = graph.add_cast(image, "float32", "image_float")
    value = graph.add_node("Transpose", [value], "image_planes", perm=(0, 3, 1, 2))
    add_quantiser = _add_sign if weights.bits == 1 else _add_levels
    maps = {}
    for layer in weights.spec.layers:
        if isinstance(layer, Conv):
            if layer is not weights.spec.convs[0]:
                value = add_quantiser(graph, value, layer, weights)
                value = _add_padding(graph, value, layer, weights)
            value = _add_sums(graph, value, layer, weights)
        else:
            value = graph.add_node(
                "MaxPool", [value], f"{layer.name}_planes", kernel_shape=(2, 2), strides=(2, 2)
            )
        maps[layer.name] = value
    first_sums = {layer.name for layer in weights.spec.layers[:2]}
    for name in layers:
        dtype = "int32" if weights.bits > 1 or name in first_sums else "int16"
        value = graph.add_node("Transpose", [maps[name]], f"{name}_float", perm=(0, 2, 3, 1))
        graph.add_cast(value, dtype, name)
        graph.add_output(name, dtype, ("batch", *shapes[name]))
    return graph.to_bytes()


def _add_sums(graph: OnnxGraph, value: str, layer: Conv, weights: NetworkWeights) -> str:
    """Convolve; the sums are float32, or float64 where that could not hold them."""
    name, filters = layer.name, weights.convs[layer.name].filters

    def convolve(part: NDArray[Any], label: str) -> str:
        planes = np.ascontiguousarray(part.transpose(0, 3, 1, 2), np.float32)
        constant = graph.add_constant(f"{name}_filters{label}", planes)
        strides = (layer.stride, layer.stride)
        return graph.add_node("Conv", [value, constant], f"{name}_sums{label}", strides=strides)

    if sum_bound(weights.spec, layer) < _EXACT_FLOATS:
        return convolve(filters, "")
    high = filters >> _HALF_BITS
    parts = {"_high": high, "_low": filters - (high << _HALF_BITS)}
    upper, lower = (
        graph.add_cast(convolve(part, label), "float64", f"{name}_wide{label}")
        for label, part in parts.items()
    )
    times = graph.add_constant(f"{name}_high_unit", np.array(2**_HALF_BITS, np.float64))
    upper = graph.add_node("Mul", [upper, times], f"{name}_shifted")
    return graph.add_node("Add", [upper, lower], f"{name}_sums")


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


def _add_levels(graph: OnnxGraph, value: str, layer: Conv, weights: NetworkWeights) -> str:
    """Quantise as `LevelThresholds.codes` does."""
    levels = conv_levels(weights, layer)

    def constant(label: str, values: NDArray[Any]) -> str:
        return graph.add_constant(f"{layer.name}_{label}", values)

    def node(operator: str, inputs: Sequence[str], label: str) -> str:
        return graph.add_node(operator, inputs, f"{layer.name}_{label}")

    def cast(source: str, dtype: str, label: str) -> str:
        return graph.add_cast(source, dtype, f"{layer.name}_{label}")

    def per_channel(values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(-1, 1, 1)

    level = cast(value, "float64", "double")
    level = node("Mul", [level, constant("gain", per_channel(levels.gain))], "gained")
    half = constant("offset", per_channel(levels.offset + 0.5))
    level = node("Round", [node("Add", [level, half], "level")], "nearest")
    ends = [constant(f"level_{end}", np.array(end, np.float64)) for end in (1, levels.highest)]
    level = node("Clip", [level, *ends], "clipped")
    entry = cast(level, "int32", "clipped_integer")
    first = constant("first_entries", per_channel(levels.first_entries))
    entry = node("Add", [entry, first], "entry")
    table = constant("threshold", levels.threshold.reshape(-1))
    limit = node("Gather", [table, entry], "limit")
    reached = node("GreaterOrEqual", [cast(value, "int32", "integer"), limit], "reached")
    if levels.flip.any():
        reached = node("Xor", [reached, constant("flip", per_channel(levels.flip))], "turned")
    step = cast(reached, "float32", "step")
    below = constant("one", np.array(1, np.float32))
    below = node("Sub", [cast(level, "float32", "upper"), below], "lower")
    return node("Add", [below, step], "codes")


def _add_padding(graph: OnnxGraph, value: str, layer: Conv, weights: NetworkWeights) -> str:
    sides = np.array([0, 0, layer.pad, layer.pad] * 2, np.int64)
    padding = weights.padding_value * highest_level(weights.bits)
    constants = [
        graph.add_constant(f"{layer.name}_pad_sides", sides),
        graph.add_constant(f"{layer.name}_pad_value", np.array(padding, np.float32)),
    ]
    return graph.add_node("Pad", [value, *constants], f"{layer.name}_padded", mode="constant")
