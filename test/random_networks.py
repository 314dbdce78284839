# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Networks with random values, for tests of the arithmetic."""

from __future__ import annotations

import numpy as np

from floppynet_vpr.network.layers import NETWORKS, filter_shapes
from floppynet_vpr.network.weights import ConvWeights, NetworkWeights


def random_weights(name: str, padding_value: int, seed: int) -> NetworkWeights:
    """A network with random filters and BatchNorms, scales of either sign and zero included."""
    rng = np.random.default_rng(seed)
    convs = {}
    for conv, shape in filter_shapes(NETWORKS[name]).items():
        filters = rng.choice(np.array([-1, 1], np.int8), shape)
        if not convs:
            convs[conv] = ConvWeights(filters)
            continue
        scale = rng.normal(0, 1, shape[3]).astype(np.float32)
        scale[::17] = 0
        convs[conv] = ConvWeights(filters, scale, rng.normal(0, 8, shape[3]).astype(np.float32))
    return NetworkWeights(NETWORKS[name], padding_value, convs)
