# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Networks of other kinds, small ones with random weights that tell pictures apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from floppynet_vpr.network.onnx_file import OnnxGraph

SIDE = 224
_PATCH = 32

DESCRIPTION = """\
title: {title}
input: {{height: 224, width: 224, scale: 0.01, mean: [1.2, 1.1, 1.0], std: 0.5}}
outputs: [{{layer: descriptor, output: {output}}}]
"""


def cell_network(path: Path, channels: int, seed: int = 0) -> Path:
    """Write a network whose output is a map of 7 x 7 cells; its description beside it.

    Each cell is what random filters give for a patch of 32 x 32 pixels. With 512 channels it has
    the shape of VGG-16's last pool, 25,088 values.
    """
    graph = OnnxGraph(path.stem)
    value = _patches(graph, channels, seed)
    graph.add_output(value, "float32", ("batch", channels, 7, 7))
    path.write_bytes(graph.to_bytes())
    path.with_suffix(".yaml").write_text(DESCRIPTION.format(title="Cells", output=value))
    return path


def global_network(path: Path, values: int, seed: int = 0, hidden: int = 32) -> Path:
    """Write a network whose output is a global descriptor; its description beside it.

    It mixes the cells' values at random; VGG-16's fully connected layers have 4,096 values.
    """
    rng = np.random.default_rng(seed)
    graph = OnnxGraph(path.stem)
    value = graph.add_node("Flatten", [_patches(graph, hidden, seed)], "flat", axis=1)
    mixing = rng.normal(size=(49 * hidden, values)).astype(np.float32)
    value = graph.add_node("MatMul", [value, graph.add_constant("mixing", mixing)], "embedding")
    graph.add_output(value, "float32", ("batch", values))
    path.write_bytes(graph.to_bytes())
    path.with_suffix(".yaml").write_text(DESCRIPTION.format(title="Global", output=value))
    return path


def _patches(graph: OnnxGraph, channels: int, seed: int) -> str:
    image = graph.add_input("image", "float32", ("batch", 3, SIDE, SIDE))
    # Of smooth filters, for pictures are smooth.
    coarse = np.random.default_rng(seed).normal(size=(channels, 3, 4, 4))
    coarse -= coarse.mean(axis=(1, 2, 3), keepdims=True)
    filters = np.repeat(np.repeat(coarse, _PATCH // 4, 2), _PATCH // 4, 3).astype(np.float32)
    sums = graph.add_node(
        "Conv",
        [image, graph.add_constant("filters", filters)],
        "sums",
        strides=(_PATCH, _PATCH),
    )
    return graph.add_node("Relu", [sums], "cells")
