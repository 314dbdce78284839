# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From neighbours in the map to loop-closure candidates."""

from floppynet_vpr.detection.detector import Candidate, Detection, LoopClosureDetector

__all__ = ["Candidate", "Detection", "LoopClosureDetector"]
