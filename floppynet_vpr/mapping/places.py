# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a map knows of a place beside its descriptor, and of the drive it was seen in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

NUMBER_BITS = 24
"""Low bits of a place's id that count the places of its session."""

MOST_PLACES = 1 << NUMBER_BITS
MOST_SESSIONS = 1 << 63 - NUMBER_BITS


@dataclass(frozen=True, slots=True)
class Pose:
    """Position in metres and orientation as a unit quaternion, in its session's frame (REP-103)."""

    x: float
    y: float
    z: float
    qx: float = 0.0
    qy: float = 0.0
    qz: float = 0.0
    qw: float = 1.0


@dataclass(frozen=True, slots=True)
class Session:
    """A drive whose places are in a map, one after the other.

    `uid` is its number for life, 39 bits. `name` tells people which drive (summer, night), `robot`
    who drove; both may be empty. `start_ns` is the stamp of its first image. `frame` names the
    frame of its poses (REP-105), empty where it has none. Poses of two sessions can be compared
    where both have the same `frame_uid`: odometry that starts anew makes a new frame of that name.
    """

    uid: int
    name: str = ""
    robot: str = ""
    start_ns: int = 0
    frame: str = ""
    frame_uid: int = 0

    def shares_frame(self, other: Session) -> bool:
        """Tell whether poses of both are in one frame."""
        return bool(self.frame) and self.frame_uid == other.frame_uid


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a map: its id, where its image came from, and when it was seen.

    `id` is the place's for life, whatever map it is in: the session's `uid`, then 24 bits that
    count the session's places in the order of adding. `stamp_ns` is in nanoseconds of the image's
    clock. `look_of` is the id of the place that this is another look of, by night or in rain; None:
    it is the first. In the order of the map, the last place of one session and the first of the
    next are no neighbours, and neither are places whose numbers do not follow each other: what the
    camera saw in between is not in the map, or elsewhere in it.
    """

    id: int
    name: str
    stamp_ns: int
    session: Session
    pose: Pose | None = None
    look_of: int | None = None

    def follows(self, other: Place) -> bool:
        """Tell whether the camera came here from that place, on a way of first looks or of others.

        Ids of one session that follow each other are numbers that do.
        """
        return self.id == other.id + 1 and (self.look_of is None) == (other.look_of is None)

    @property
    def number(self) -> int:
        """Which place of its session it is, from 0."""
        return self.id % MOST_PLACES


def place_id(session: Session, number: int) -> int:
    """The id of the place of a session with this number."""
    return session.uid << NUMBER_BITS | number


def session_uid(*facts: object) -> int:
    """Make a session's number of what is known of it: the same facts always give the same."""
    digest = hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "little") % MOST_SESSIONS
