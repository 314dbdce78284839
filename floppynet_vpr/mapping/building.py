# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Fills a map from a stream of described frames."""

from __future__ import annotations

from collections.abc import Iterable

from floppynet_vpr.extraction.pipeline import DescribedFrame
from floppynet_vpr.mapping.keyframes import KeyframeGate, KeyframeLimits
from floppynet_vpr.mapping.reference_map import ReferenceMap
from floppynet_vpr.mapping.storages import DEFAULT_STORAGE
from floppynet_vpr.network.network import Network


def build_map(
    frames: Iterable[DescribedFrame],
    weights: Network,
    min_distance: float = 0.0,
    storage: str = DEFAULT_STORAGE,
    features: int = 0,
    thumbnails: bool = False,
    session: str = "",
    robot: str = "",
) -> ReferenceMap:
    """Make a map of `frames`, described with `weights`, one place each.

    With `min_distance` above 0 a frame becomes a place only when its descriptor is at least that
    far (eq. 6, 0 to 2) from the place added last, so that standing still fills no map. `storage`
    is how the map keeps descriptors, `features` for how many local features of a place it has room,
    `thumbnails` whether it keeps those of the frames. They are a session of that name by `robot`.
    Memory grows by these alone, the frames are let go.
    """
    reference = ReferenceMap.for_weights(weights, storage, features, thumbnails)
    reference.begin_session(session, robot)
    add_frames(reference, KeyframeGate(KeyframeLimits(distance=min_distance)), frames)
    return reference


def add_frames(
    reference: ReferenceMap, gate: KeyframeGate, frames: Iterable[DescribedFrame]
) -> None:
    """Add those of `frames` to a map that `gate` lets pass."""
    for frame in frames:
        if gate.passes(frame.descriptor, frame.stamp_ns):
            reference.add(
                frame.descriptor,
                frame.name,
                frame.stamp_ns,
                features=frame.features,
                thumbnail=frame.thumbnail,
            )
