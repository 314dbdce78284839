# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How loop closures are to be detected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from floppynet_vpr.detection.bayes_filter import BayesFilter
from floppynet_vpr.detection.line_search import LineSearch
from floppynet_vpr.detection.sequences import SequenceModel

AUTO, SINGLE, FILTER = "auto", "none", "filter"
SEQUENCES: dict[str, Callable[[], SequenceModel]] = {FILTER: BayesFilter, "line": LineSearch}
"""Ways of matching sequences, by name."""

SEQUENCE_CHOICES = (AUTO, SINGLE, *SEQUENCES)

TOLERANT_MATCHING, RIGID_MATCHING = "tolerant", "rigid"
MATCHING_CHOICES = (TOLERANT_MATCHING, RIGID_MATCHING)
"""Ways of comparing an image with a place."""

UNVERIFIED, BY_CELLS, BY_FEATURES = "none", "cells", "features"
VERIFICATION_CHOICES = (BY_CELLS, BY_FEATURES, UNVERIFIED)
"""Ways of verifying what was detected."""


@dataclass(frozen=True)
class DetectorOptions:
    """How loop closures are to be detected; all may change from one image to the next.

    `threshold`: largest distance (0 to 2) of a detection; 0 sets itself. `confidence`: smallest
    score (0 to 1) of a detection; 0 sets itself. `top_k`: candidates per image. `matching`:
    "tolerant" compares images with shifts, less the means of their drives, "rigid" cell upon cell
    (eq. 5 and 6). `sequence`: "none" compares single images, "filter" and "line" match sequences,
    "auto" is "filter" where the map is in the order of a drive and "none" where it is not.
    `verification`: "cells" asks that feature maps agree cell by cell where a sequence is matched
    tolerantly, "none" asks nothing; "features" is "cells" for the detector, and local features are
    for a `Verifier`. `subtract_mean`: with rigid matching, compare images less the mean of their
    drive. `exclude_images` and `exclude_seconds`: places added to the map so short a time ago are
    not matched.
    """

    threshold: float = 0.0
    confidence: float = 0.0
    top_k: int = 5
    matching: str = TOLERANT_MATCHING
    sequence: str = AUTO
    verification: str = BY_CELLS
    subtract_mean: bool = False
    exclude_images: int = 20
    exclude_seconds: float = 10.0

    @property
    def measure(self) -> str:
        """What the best match is judged by: "belief", "distinctness" or "distance"."""
        if self.sequence != SINGLE:
            return "belief"
        return "distinctness" if self.matching == TOLERANT_MATCHING else "distance"

    @property
    def mode(self) -> str:
        """Name of what decides how good a match is; a calibration is for one of these."""
        less = " less mean" if self.subtract_mean and self.matching == RIGID_MATCHING else ""
        return f"{self.matching} {self.sequence}{less}"
