# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Networks with random values, for tests of the arithmetic."""

from __future__ import annotations

import numpy as np

from floppynet_vpr.network.bits import highest_level, weight_dtype
from floppynet_vpr.network.layers import NETWORKS, filter_shapes
from floppynet_vpr.network.weights import ConvWeights, NetworkWeights


def random_weights(name: str, padding_value: int, seed: int) -> NetworkWeights:
    """A network with random filters and BatchNorms, scales of either sign and zero included."""
    rng = np.random.default_rng(seed)
    bits = NETWORKS[name].weight_bits
    highest = highest_level(bits)
    odd = np.arange(-highest, highest + 1, 2, weight_dtype(bits))
    convs = {}
    for conv, shape in filter_shapes(NETWORKS[name]).items():
        filters = rng.choice(odd, shape)
        if not convs:
            convs[conv] = ConvWeights(filters)
            continue
        # Such that signs differ, and codes spread over their levels.
        scale = rng.normal(0, 1 if bits == 1 else 0.05, shape[3]).astype(np.float32)
        scale[::17] = 0
        shift = rng.normal(0, 8, shape[3]) if bits == 1 else rng.normal(0.5, 0.3, shape[3])
        convs[conv] = ConvWeights(filters, scale, shift.astype(np.float32))
    return NetworkWeights(NETWORKS[name], padding_value, convs)
