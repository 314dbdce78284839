# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""S_P100 as the paper prints it, for the tables that stand beside it.

Only figures that were read in the paper are here; a cell without one stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DATASETS: Final[Mapping[str, str]] = {
    "gardens_point": "GardensPoint",
    "berlin_kudamm": "Berlin",
    "nordland": "Nordland",
    "lagout": "Lagout",
    "old_city": "Old City",
}
"""The datasets in the paper's order, by their names here."""

QUERIES: Final[Mapping[str, str]] = {
    "gardens_point": "night_right",
    "berlin_kudamm": "kudamm_2",
    "nordland": "winter",
    "lagout": "lagout_15",
    "old_city": "old_city_2",
}
"""The traverse that the paper asks about."""

S_P100: Final[Mapping[tuple[str, str], Mapping[str, float]]] = {
    ("baseline", "pool5"): {
        "gardens_point": 84,
        "berlin_kudamm": 8,
        "nordland": 85,
        "lagout": 100,
        "old_city": 33,
    },
    ("binarynet", "pool5"): {
        "gardens_point": 79.5,
        "berlin_kudamm": 8,
        "nordland": 71.5,
        "lagout": 100,
        "old_city": 23,
    },
    ("floppynet", "pool5"): {"gardens_point": 75.5, "lagout": 100},
}
"""By network and layer, then dataset: Tables IV (Baseline) and V (BinaryNet), and the text."""

AVERAGES: Final[Mapping[str, float]] = {
    "baseline": 62,
    "binarynet": 56.4,
    "shallownet": 55.5,
    "floppynet": 58.2,
    "floppynet-2": 58.22,
    "floppynet-4": 61.02,
    "floppynet-8": 61.52,
    "vgg16": 66.13,
    "hybridnet": 33.57,
}
"""S_P100 of pool5 over the five datasets (Table VI)."""

SIZES_KIB: Final[Mapping[str, float]] = {"vgg16": 57487, "hybridnet": 16957}
"""Sizes of the third-party networks (Table VI); those of the family are in `network.paper`."""

ETA_M: Final[Mapping[str, float]] = {
    "baseline": 236.3,
    "binarynet": 8.26,
    "shallownet": 2.77,
    "floppynet": 2.65,
    "floppynet-2": 5.26,
    "floppynet-4": 9.96,
    "floppynet-8": 19.72,
    "vgg16": 869.3,
    "hybridnet": 505.12,
}
"""Memory efficiency, size / S_P100 (Table VI)."""
