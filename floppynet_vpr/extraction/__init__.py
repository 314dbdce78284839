# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From the network's input to pool5 integers and L2-normalised descriptors."""

from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE, ExtractionError, Extractor
from floppynet_vpr.extraction.factory import BACKENDS, create_extractor, load_network
from floppynet_vpr.extraction.pipeline import DescribedFrame, describe_frames

__all__ = [
    "BACKENDS",
    "DESCRIPTOR_SIZE",
    "DescribedFrame",
    "ExtractionError",
    "Extractor",
    "create_extractor",
    "describe_frames",
    "load_network",
]
