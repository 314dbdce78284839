# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How a source of images becomes a session of a map, at once or in parts.

A map is of drives: each source is described, becomes a small map of its own, and these are put
together in the order in which the sources were named. A long source can be described in stretches,
by anybody and in any order; the places are then made of them one stretch after the other, because
which frame becomes a place, and a session's mean, depend on those before. Whoever does it, and in
how many stretches: the places are the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from floppynet_vpr.datasets.bag_depth import open_depth
from floppynet_vpr.datasets.frames import WHOLE, FrameSource, Stretch
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.external_network import ExternalNetwork
from floppynet_vpr.extraction.extractor import Extractor
from floppynet_vpr.extraction.feature_points import with_points
from floppynet_vpr.extraction.pipeline import DescribedFrame, describe_frames
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.mapping.building import add_frames
from floppynet_vpr.mapping.keyframes import KeyframeGate, KeyframeLimits
from floppynet_vpr.mapping.map_content import MapError
from floppynet_vpr.mapping.reference_map import ReferenceMap
from floppynet_vpr.mapping.sessions import join_maps
from floppynet_vpr.network.weights import NetworkWeights
from floppynet_vpr.text import utf_8


@dataclass(frozen=True)
class Recipe:
    """How places are made of any source; see `open_source`, `describe_frames`, `build_map`.

    With `strict` a frame that cannot be used ends the work on its source. `depth` and `camera_info`
    are topics of the bag, see `open_depth`.
    """

    weights: NetworkWeights | ExternalNetwork
    backend: str
    storage: str
    features: int
    min_distance: float
    topic: str | None
    rate_hz: float
    every: int
    strict: bool
    thumbnails: bool = False
    depth: str | None = None
    camera_info: str | None = None
    session: str = ""
    robot: str = ""

    def open(self, path: Path) -> FrameSource:
        """Open a source; raises VprError as `open_source` does."""
        return open_source(path, topic=self.topic, rate_hz=self.rate_hz, every=self.every)

    def describe(
        self,
        source: FrameSource,
        stretch: Stretch,
        extractors: Sequence[Extractor],
        unusable: Callable[[ImageError], object],
    ) -> Iterator[DescribedFrame]:
        """Describe the frames of a stretch; those that cannot be used are told to `unusable`."""
        return describe_frames(
            source.pending(stretch.numbers, stretch.since_ns),
            extractors,
            self.features,
            skipped=None if self.strict else unusable,
            thumbnails=self.thumbnails,
        )

    def located(
        self,
        path: Path,
        source: FrameSource,
        described: Iterable[DescribedFrame],
        missed: Callable[[int], object],
    ) -> Iterator[DescribedFrame]:
        """Add to the features of all frames where in space they are, as far as depth is known.

        At the end `missed` is told how many frames had none. Without `depth` frames stay as they
        are. Raises VprError as `open_depth`.
        """
        if self.depth is None:
            yield from described
            return
        camera, depth = open_depth(path, source, self.depth, self.camera_info)
        for frame in described:
            known = depth.at(frame.stamp_ns)
            features = frame.features
            if known is not None and features is not None:
                features = with_points(features, known, camera.model)
            yield replace(frame, features=features)
        if depth.missed:
            missed(depth.missed)

    def new_map(self) -> ReferenceMap:
        """Start an empty map for such places."""
        return ReferenceMap.for_weights(self.weights, self.storage, self.features, self.thumbnails)


@dataclass(frozen=True)
class Part:
    """Places of a drive, one after the other, and what is needed to go on behind them.

    `reference` has these places alone; `unusable` are the frames among them that could not be used.
    """

    reference: ReferenceMap
    gate: KeyframeGate
    unusable: Sequence[ImageError] = ()


def next_part(
    recipe: Recipe,
    before: Part | None,
    frames: Iterable[DescribedFrame],
    unusable: Sequence[ImageError],
) -> Part:
    """Make the places of a stretch, described; `before` is the part before it, left as it is.

    `unusable` is looked at when the last of `frames` has been taken.
    """
    if before is None:
        reference = recipe.new_map()
        reference.begin_session(recipe.session, recipe.robot)
        gate = KeyframeGate(KeyframeLimits(distance=recipe.min_distance))
    else:
        reference, gate = before.reference.select(()), copy(before.gate)
    add_frames(reference, gate, frames)
    return Part(reference, gate, tuple(unusable))


def joined_parts(
    path: Path, parts: Sequence[Part], skipped: Callable[[ImageError], object]
) -> ReferenceMap:
    """Make one map of the parts of a drive; raises MapError where they have no place.

    The frames that could not be used are told to `skipped`.
    """
    reference = parts[0].reference
    for part in parts[1:]:
        reference.adopt(part.reference, np.arange(len(part.reference), dtype=np.int64))
    for error in (error for part in parts for error in part.unusable):
        skipped(error)
    if not len(reference):
        raise MapError(f"{path} gave no frame: nothing to build a map of")
    return reference


def drives_here(
    recipe: Recipe,
    paths: Sequence[Path],
    make_extractors: Callable[[], Sequence[Extractor]],
    found: Callable[[Path, int], object],
    done: Callable[[int], object],
    skipped: Callable[[ImageError], object],
    missed: Callable[[Path, int], object],
) -> Iterator[Callable[[], ReferenceMap]]:
    """Make places of sources in this process, as many frames at once as there are extractors.

    `make_extractors` is asked only if a source can be opened. `found` is told of each source how
    many frames it promises, before any is described; `done` of how many frames more places were
    made; `skipped` of frames that could not be used; `missed` of each source how many of its frames
    had no depth, if any was asked for. Gives for each source, in order, the function that makes its
    map, of one session, or raises VprError, naming the source.
    """
    opened: list[FrameSource | VprError] = []
    promised: list[tuple[Path, int]] = []
    for path in paths:
        try:
            source = recipe.open(path)
        except VprError as error:
            opened.append(error)
        else:
            opened.append(source)
            promised.append((path, len(source)))
    extractors = make_extractors() if promised else ()
    for path, count in promised:
        found(path, count)

    def make(path: Path, source: FrameSource | VprError) -> ReferenceMap:
        if isinstance(source, VprError):
            raise source
        described = recipe.describe(source, WHOLE, extractors, skipped)
        frames = recipe.located(path, source, described, partial(missed, path))
        return joined_parts(path, [next_part(recipe, None, _counted(frames, done), ())], skipped)

    return (partial(make, path, source) for path, source in zip(paths, opened, strict=True))


def _counted(
    frames: Iterable[DescribedFrame], done: Callable[[int], object]
) -> Iterator[DescribedFrame]:
    for frame in frames:
        done(1)
        yield frame


def named_drive(drive: ReferenceMap, name: str, known: dict[int, str]) -> ReferenceMap:
    """Name the session of a drive's map, and note its number in `known`.

    Raises MapError where it is known already.
    """
    (session,) = drive.sessions
    if known.setdefault(session.uid, name) != name:
        raise MapError(f"{name} holds the same places as {known[session.uid]}")
    return join_maps({name: drive})


def session_names(paths: Sequence[Path]) -> list[str]:
    """Name the sessions of sources, by the source's name and as many folders as tell it apart.

    Raises VprError where a source is named twice.
    """
    for path in paths:
        if paths.count(path) > 1:
            raise VprError(f"{path} is named twice: a map holds a drive once")
    names = []
    for path in paths:
        others = [other for other in paths if other != path]
        depth = 1
        while any(other.parts[-depth:] == path.parts[-depth:] for other in others):
            depth += 1
        names.append("/".join(utf_8(part) for part in path.parts[-depth:]))
    return names
