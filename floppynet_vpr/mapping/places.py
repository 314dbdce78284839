# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a map knows of a place beside its descriptor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pose:
    """Position in metres and orientation as a unit quaternion, in the map's frame (REP-103)."""

    x: float
    y: float
    z: float
    qx: float = 0.0
    qy: float = 0.0
    qz: float = 0.0
    qw: float = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a map: its number, where its image came from, and when it was seen.

    `id` counts from 0 in the order of adding; `stamp_ns` is in nanoseconds of the image's clock.
    `session` names the drive it was seen in, where a map is of several; in the order of the map,
    the last place of one drive and the first of the next are no neighbours.
    """

    id: int
    name: str
    stamp_ns: int
    pose: Pose | None = None
    session: str = ""
