# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Fills a map from a stream of frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.extractor import Extractor
from floppynet_vpr.mapping.reference_map import ReferenceMap
from floppynet_vpr.mapping.storages import DEFAULT_STORAGE


class NamedImage(Protocol):
    """A frame as a map needs it; `rgb` is (H, W, 3) uint8."""

    @property
    def name(self) -> str:
        """Where the frame came from: a file, or a topic and index."""

    @property
    def stamp_ns(self) -> int:
        """When it was taken, in nanoseconds."""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The image."""


def build_map(
    frames: Iterable[NamedImage],
    extractor: Extractor,
    min_distance: float = 0.0,
    storage: str = DEFAULT_STORAGE,
) -> ReferenceMap:
    """Make a map of `frames`, one place each.

    With `min_distance` above 0 a frame becomes a place only when its descriptor is at least that
    far (eq. 6, 0 to 2) from the place added last, so that standing still fills no map. `storage`
    is how the map keeps descriptors; memory grows by that alone, the frames are let go.
    """
    reference = ReferenceMap.for_weights(extractor.weights, storage)
    last: NDArray[np.float32] | None = None
    for frame in frames:
        descriptor = extractor.describe(frame.rgb)
        if last is not None and np.linalg.norm(descriptor - last) < min_distance:
            continue
        reference.add(descriptor, frame.name, frame.stamp_ns)
        last = descriptor
    return reference
