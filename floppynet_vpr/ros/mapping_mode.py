# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a node does that makes its map while driving: adds places, and keeps them in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import Detection, LoopClosureDetector
from floppynet_vpr.detection.growth import Grower
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.local_features import LocalFeatures, extract_features
from floppynet_vpr.files import user_path
from floppynet_vpr.fleet.map_url import is_url
from floppynet_vpr.imaging.thumbnail import make_thumbnail
from floppynet_vpr.mapping import Place
from floppynet_vpr.mapping.keyframes import KeyframeGate
from floppynet_vpr.parameters import LOCALIZATION
from floppynet_vpr.ros.map_folder import MapFolder
from floppynet_vpr.ros.map_in_use import Keyframe, MapInUse
from floppynet_vpr.ros.map_saver import MapSaver
from floppynet_vpr.ros.parameters import NodeParameters


class Taken(NamedTuple):
    """What came of an image: the place that it became, if any.

    It is a `keyframe` if it shows enough that the one before did not, known to the map or not.
    """

    place: Place | None
    keyframe: bool


class MappingMode:
    """Adds images that show something new to the map, and has the map saved."""

    def __init__(
        self, settings: NodeParameters, map_in_use: MapInUse, warn: Callable[[str], object]
    ) -> None:
        """Load the map to go on with, or start a new one.

        Raises VprError when that cannot be done without harm: the file is damaged, of other
        weights, written by another process, or it is not clear which of two maps is meant.
        """
        self._settings = settings
        self._map = map_in_use
        self._gate = KeyframeGate(settings.keyframe_limits)
        self._grower = Grower(settings.growth_options)
        self._version = map_in_use.version[0]
        self._saver: MapSaver | None = None
        self.added = 0
        """Places added since the node was configured."""
        self.known = 0
        """Images left out, for their places were recognised and look the same."""
        self.dropped = 0
        """Places dropped since the map has as many as it may."""
        target, source = settings["save_map_to"], settings["map"]
        if is_url(target):
            raise VprError(
                "save_map_to is for files: give the map in a database as map, where mapping adds "
                "its places"
            )
        if target:
            self._saver = MapSaver(
                Path(target), map_in_use, lambda: float(settings["save_period"]), warn
            )
        try:
            self._open(source)
        except VprError:
            self.close()
            raise

    @property
    def file(self) -> Path | None:
        """The file that the map is saved to, None: none."""
        return None if self._saver is None else self._saver.path

    @property
    def error(self) -> str:
        """Why the map is not saved; empty: it is, or is not to be."""
        return "" if self._saver is None else self._saver.error

    @property
    def facts(self) -> dict[str, object]:
        """The state of the mapping, for people."""
        saved = {"map file": "none"} if self._saver is None else self._saver.facts
        grown = {"places added": self.added, "places known": self.known}
        return {**grown, "places dropped": self.dropped, **saved}

    def take(
        self,
        detector: LoopClosureDetector,
        detection: Detection,
        seen: Keyframe,
        rgb: NDArray[np.uint8],
        lost: bool,
        locate: Callable[[LocalFeatures], LocalFeatures],
    ) -> Taken:
        """Add an image, answered by `detector`, to the map if it shows something new.

        What is new is decided by `KeyframeGate` and by `Grower`. `lost`: a pose was wanted, and the
        source gave none. `locate` adds to local features where in space they are, if that is known.
        """
        self._gate.limits = self._settings.keyframe_limits
        if self._version != self._map.version[0]:  # another map, of which nothing was seen yet
            self._version = self._map.version[0]
            self._gate = KeyframeGate(self._settings.keyframe_limits)
        if not self._gate.passes(seen.descriptor, seen.stamp_ns, seen.pose, lost):
            return Taken(None, keyframe=False)
        options = self._grower.options = self._settings.growth_options
        growth = self._grower.decide(detector, detection, seen.descriptor)
        if not growth.new:
            self.known += 1
            self._map.leave_out()
            return Taken(None, keyframe=True)
        count = detector.reference.features
        seen = replace(
            seen,
            features=locate(extract_features(rgb, count)) if count else None,
            thumbnail=make_thumbnail(rgb) if detector.reference.thumbnails else None,
        )
        place = self._map.add(detector, seen, growth.look_of)
        self.added += place is not None
        dropped = self._map.limit(options)
        if dropped:
            self.dropped += dropped
            self._version = self._map.version[0]  # what was seen last still is
        return Taken(place, keyframe=True)

    def start(self) -> None:
        """Save from now on."""
        if self._saver is not None:
            self._saver.start()

    def stop(self) -> None:
        """Save what is new, and no more from then on."""
        self._map.count_services()
        if self._saver is not None:
            self._saver.stop()

    def close(self) -> None:
        """Stop, and let others write the file."""
        if self._saver is not None:
            self._saver.close()
            self._saver = None

    def _open(self, source: str) -> None:
        if self._map.keeper:
            return
        if self._saver is None or not self._saver.path.exists():
            if source:
                self._map.load(source)
            return
        path = self._saver.path
        if source and user_path(source).resolve() != path:
            raise VprError(
                f"save_map_to is {path}, which exists and would be gone on with, but map is "
                f"{source}: leave one of them empty, or save to a file that does not exist"
            )
        self._map.load(str(path))
        self._saver.in_step()


def create_mapping_mode(
    settings: NodeParameters, map_in_use: MapInUse, warn: Callable[[str], object]
) -> MappingMode | None:
    """Make what the parameter `mode` asks for, None for localization; raises VprError."""
    if settings["save_map_to"]:
        # Whoever may set parameters may set this one, but not the folder.
        MapFolder(settings["map_folder"]).path(str(user_path(settings["save_map_to"]).resolve()))
    if settings["mode"] != LOCALIZATION:
        return MappingMode(settings, map_in_use, warn)
    if settings["save_map_to"]:
        raise VprError(
            "save_map_to is given, but mode is localization, which never changes the map: "
            "set mode to mapping or both"
        )
    return None
