# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From neighbours in the map to loop-closure candidates."""

from floppynet_vpr.detection.detector import Candidate, Detection, LoopClosureDetector
from floppynet_vpr.detection.limits import Limits
from floppynet_vpr.detection.options import (
    BY_FEATURES,
    MATCHING_CHOICES,
    SEQUENCE_CHOICES,
    VERIFICATION_CHOICES,
    DetectorOptions,
)
from floppynet_vpr.detection.verification import VerificationOptions, Verifier

__all__ = [
    "BY_FEATURES",
    "MATCHING_CHOICES",
    "SEQUENCE_CHOICES",
    "VERIFICATION_CHOICES",
    "Candidate",
    "Detection",
    "DetectorOptions",
    "Limits",
    "LoopClosureDetector",
    "VerificationOptions",
    "Verifier",
]
