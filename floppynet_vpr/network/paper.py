# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Figures that the paper prints, and where they do not follow from its own definitions."""

from __future__ import annotations

SIZES_KIB: dict[str, float] = {
    "baseline": 14648,
    "binarynet": 466,
    "shallownet": 154,
    "floppynet": 154,
    "floppynet-2": 306,
    "floppynet-4": 608,
    "floppynet-8": 1213,
}
"""Model sizes without the fully connected stage (Tables III and VI)."""

MEGA_MACS: dict[str, float] = {"baseline": 711}
"""Multiply-accumulates for one image, in millions, where the paper states them."""

ERRATA: tuple[str, ...] = (
    "Baseline's 711 M MACs do not follow from its layers, which give 1,076.6 M; the ratios that "
    "the paper builds on them change accordingly.",
    "FloppyNet-2: the layer table gives 305.3 KiB where Table VI prints 306.",
    "Eq. 7 is printed upside down: Table VI is size / S_P100, lower is better.",
    "eta_m of FloppyNet-4 is 9.25 in the text and 9.96 in Table VI; of FloppyNet-8 19.74 and "
    "19.72.",
    "Eq. 8's speed-up of 3.4 is a projection (5.3 binary MACs per cycle), not a measurement.",
    "BinaryNet is described with zero padding; the authors' published file pads with +1.",
)
"""Where the paper contradicts itself or its published files."""
