# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The map that the node detects against: replaced, reduced, grown and saved, by several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.growth import GrowthOptions, within_limit
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.local_features import LocalFeatures
from floppynet_vpr.fleet.stored_map import load_map, shown_map
from floppynet_vpr.mapping import Place, Pose, ReferenceMap
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.keyframes import metres_between
from floppynet_vpr.mapping.map_content import MapContent
from floppynet_vpr.mapping.map_file import write_map
from floppynet_vpr.mapping.places import session_uid
from floppynet_vpr.network.network import Network


@dataclass(frozen=True)
class PoseFrame:
    """The frame that poses are in; `fixed`: poses of other days are in the same frame."""

    name: str
    fixed: bool


@dataclass(frozen=True)
class Drive:
    """What is kept of the places of this drive: its name, who drives, and what new maps hold.

    Of each place these have room for so many local `features` and, if asked, for a thumbnail.
    """

    session: str = ""
    robot: str = ""
    features: int = 0
    thumbnails: bool = False


@dataclass(frozen=True)
class Keyframe:
    """An image that may become a place: its descriptor, (d,) float32, and what is kept with it.

    `frame` is that of the pose.
    """

    descriptor: NDArray[np.float32]
    name: str
    stamp_ns: int
    pose: Pose | None
    frame: PoseFrame
    features: LocalFeatures | None = None
    thumbnail: bytes | None = None


class MapInUse:
    """The map, the detector that knows it, and where it came from.

    Frames are worked on by one thread, which alone detects and adds places; services and savers
    are others. A map is never taken away from under the detector: it is replaced as a whole.
    """

    def __init__(
        self,
        weights: Network,
        options: Callable[[], DetectorOptions],
        drive: Drive,
    ) -> None:
        """Start with an empty map for `weights`; `options` gives those of a new detector."""
        self._weights = weights
        self._options = options
        self._drive = drive
        self._begun: tuple[ReferenceMap | None, PoseFrame | None] = None, None
        # Held for the moment in which the map changes or is looked at as a whole.
        self._lock = threading.Lock()
        self._version = 0
        self._replaced = 0
        self._served = 0
        self.origin = ""
        """What the map was loaded from; empty: nothing."""
        self.keeper = ""
        """The database that has the map, which then is only added to; empty: none."""
        self.state = ""
        """What came of loading a shared map, for people."""
        self.detector = LoopClosureDetector(self._new_map(), options())

    @property
    def grid(self) -> Grid:
        """The shape of the map's descriptors, the same whatever map is loaded."""
        return self.detector.reference.grid

    @property
    def places(self) -> Sequence[Place]:
        """The places of the map as it is now; others may be added while they are looked at."""
        return self.detector.reference.places

    @property
    def version(self) -> tuple[int, int]:
        """How often the map was replaced, and how often it was changed in any way."""
        return self._replaced, self._version

    def load(self, name: str) -> str:
        """Use a map file, several as one, or a map in a database (`load_map`); says so for people.

        Raises VprError and keeps the old map.
        """
        self._require_own()
        reference = load_map(name)
        shown = shown_map(name)
        reference.require_weights(self._weights, shown)
        self._use(reference, shown)
        return f"loaded {len(reference)} places from {shown}"

    def _require_own(self) -> None:
        """Raise VprError where the map is not this node's to change."""
        if self.keeper:
            raise VprError(
                f"the map in use is that of {self.keeper}, which all its robots share and this one "
                "only adds to: start the node with another map"
            )

    @property
    def error(self) -> str:
        """What keeps a shared map from being in step; empty: nothing."""
        return ""

    @property
    def lost(self) -> int:
        """Places of this drive that could not be kept."""
        return 0

    @property
    def facts(self) -> dict[str, object]:
        """What more there is to say of it, for people."""
        return {}

    def close(self) -> None:
        """End what runs for it."""

    def look_for(self, descriptor: NDArray[np.float32]) -> None:
        """Have others look for an image, (9216,) float32, where the map is with them."""

    def begin_image(self, stamp_ns: int) -> None:
        """Take in what is new in a map that others add to (the thread that works on frames)."""

    def reset(self) -> None:
        """Start anew with an empty map; raises VprError for one that is shared."""
        self._require_own()
        self._use(self._new_map(), "")

    def save(self, path: Path) -> str:
        """Save the map; returns what to tell people, raises VprError."""
        _, content = self.content()
        write_map(path, content)
        return f"saved {len(content.places)} places to {path}"

    def content(self) -> tuple[int, MapContent]:
        """Look at all of the map at one moment, to be saved; with the number of its changes."""
        with self._lock:
            return self._version, self.detector.reference.content()

    def add(
        self, detector: LoopClosureDetector, seen: Keyframe, look_of: int | None = None
    ) -> Place | None:
        """Add a place to the map that `detector` answered from, or not if it was replaced since."""
        with self._lock:
            if detector is not self.detector:
                return None
            self._version += 1
            self._begin_session(detector.reference, seen)
            return detector.reference.add(
                seen.descriptor,
                seen.name,
                seen.stamp_ns,
                seen.pose,
                seen.features,
                look_of,
                seen.thumbnail,
            )

    def leave_out(self) -> None:
        """Tell a map that keeps this drive apart that it went on without a new place.

        Here there is nothing to do: `Grower` has told the map that was detected against.
        """

    def limit(self, options: GrowthOptions) -> int:
        """Drop places of a map that has too many (`within_limit`); returns how many.

        Only the thread that detects may ask for it.
        """
        with self._lock:
            places, detector = len(self.places), within_limit(self.detector, options)
            if detector is not self.detector:
                self._replace(detector)
            return places - len(self.places)

    def _begin_session(self, reference: ReferenceMap, seen: Keyframe) -> None:
        """Begin a session with the first place of this drive, and where its poses begin."""
        frame = seen.frame if seen.pose is not None else None
        begun, former = self._begun
        if begun is reference and (frame is None or frame == former):
            return
        named = frame or PoseFrame("", fixed=False)
        drive, salt = self._drive, self._salt()
        reference.begin_session(
            drive.session, drive.robot, named.name, fixed=named.fixed, salt=salt
        )
        self._begun = reference, frame

    def _salt(self) -> str:
        """What tells drives apart that begin with the same image."""
        return ""

    def frame_of(self, place: Place, now: str) -> str:
        """Name the frame of a place's pose, `now` being that of today's poses.

        A frame that is not today's, though it may have its name (odometry that has started anew),
        is told apart by the session: odom/monday.
        """
        session = place.session
        if not session.frame:
            return now
        fixed = session.frame_uid == session_uid("frame", session.frame)
        reference, _ = self._begun
        ours = reference is not None and reference.places[-1:]
        if fixed or (ours and ours[0].session.shares_frame(session)):
            return session.frame
        return f"{session.frame}/{session.name or format(session.uid, 'x')}"

    def forget_ids(self, first: int, end: int) -> int:
        """Forget the places with ids from `first` to before `end`; returns how many.

        Raises VprError when there are none.
        """
        return self._forget(
            lambda place: first <= place.id < end,
            f"the map has no place with an id from {first} to before {end}: give first_id and "
            "end_id, or a position and a radius above 0",
        )

    def forget_around(self, position: Pose, radius: float) -> int:
        """Forget the places whose poses are within `radius` metres of a position; returns how many.

        Raises VprError when there are none.
        """
        return self._forget(
            lambda place: place.pose is not None and metres_between(place.pose, position) <= radius,
            "no place of the map has a pose within that radius",
        )

    def _forget(self, goes: Callable[[Place], bool], none: str) -> int:
        self._require_own()
        # All under the lock, for a place that is added meanwhile must not be lost. Frames go on
        # being answered from the old map as long as they add none.
        with self._lock:
            reference = self.detector.reference
            kept = [index for index, place in enumerate(reference.places) if not goes(place)]
            forgotten = len(reference) - len(kept)
            if not forgotten:
                raise VprError(none)
            known = sum(index < self.detector.known for index in kept)
            selected = reference.select(kept)
            # Not `reduced`: the former detector may be at work on an image.
            self._replace(LoopClosureDetector(selected, self._options(), known))
            return forgotten

    def _replace(self, detector: LoopClosureDetector) -> None:
        """Go on with some of the places, with the lock held."""
        if self._begun[0] is self.detector.reference:
            self._begun = detector.reference, self._begun[1]
        self.detector = detector
        self._replaced += 1
        self._version += 1

    def count_services(self) -> None:
        """Count as a change of the map that places have served since the last one.

        Alone it is none: a file would be written every few seconds of a drive that adds nothing.
        """
        with self._lock:
            if self._served != self.detector.reference.served:
                self._served = self.detector.reference.served
                self._version += 1

    def _new_map(self) -> ReferenceMap:
        drive = self._drive
        return ReferenceMap.for_weights(
            self._weights, features=drive.features, thumbnails=drive.thumbnails
        )

    def _use(self, reference: ReferenceMap, origin: str) -> None:
        """Detect against `reference` from the next frame on."""
        detector = LoopClosureDetector(reference, self._options())
        with self._lock:
            self.detector = detector
            self._served = reference.served
            self.origin = origin
            self._replaced += 1
            self._version += 1
