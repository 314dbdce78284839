# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The reference map: places with their descriptors, searched for the nearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import products
from floppynet_vpr.extraction.local_features import LocalFeatures
from floppynet_vpr.mapping.calibration import Calibration
from floppynet_vpr.mapping.cells import Codes, encode, turn
from floppynet_vpr.mapping.descriptor_index import DescriptorIndex
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.looks import NEAR, Looks, Services
from floppynet_vpr.mapping.map_content import FEATURES, POINTS, MapContent, MapError
from floppynet_vpr.mapping.map_file import read_map, write_map
from floppynet_vpr.mapping.place_features import PlaceFeatures
from floppynet_vpr.mapping.places import (
    MOST_PLACES,
    Place,
    Pose,
    Session,
    place_id,
    session_uid,
)
from floppynet_vpr.mapping.session_means import SessionMeans
from floppynet_vpr.mapping.shifts import Shifts
from floppynet_vpr.mapping.spans import span_of
from floppynet_vpr.mapping.storages import DEFAULT_STORAGE, STORAGES
from floppynet_vpr.mapping.thumbnails import Thumbnails
from floppynet_vpr.network.network import Network

_AT_ONCE = 16


@dataclass(frozen=True)
class SearchResult:
    """The nearest places of each query, nearest first, ties by the lower index.

    `indices`, into `ReferenceMap.places`, is (queries, k) int64; `distances` is (queries, k)
    float32, Euclidean (eq. 6), 0 to 2.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]


class ReferenceMap:
    """Places and their L2-normalised descriptors, searched for the nearest.

    A map belongs to the network that made its descriptors and says so in its file. `storage` names
    how descriptors are kept (see `storages`). Up to 256 places, and with `float32` always, a query
    is compared with every place, in larger maps with 256 that are chosen by a part of their bits
    (`candidates`), so that the time of a search hardly grows; a place beyond them is missed. With
    `features` above 0 up to so many local features are kept with each place, and with `thumbnails`
    a small picture of it.
    """

    def __init__(
        self,
        network: str,
        fingerprint: str,
        storage: str = DEFAULT_STORAGE,
        features: int = 0,
        grid: Grid = POOL5,
        thumbnails: bool = False,
    ) -> None:
        """Start an empty map for the network with this name and fingerprint.

        `grid` is the shape of its descriptors. Raises MapError for an unknown storage.
        """
        if storage not in STORAGES:
            raise MapError(f"unknown storage '{storage}': choose one of {', '.join(STORAGES)}")
        self.network = network
        self.fingerprint = fingerprint
        self.grid = grid
        """The shape of the descriptors."""
        self.calibrations: dict[str, Calibration] = {}
        """What was learned of this map's answers (`calibrate`), by `Calibration.mode`."""
        self._descriptors = DescriptorIndex(STORAGES[storage], grid)
        self._places: list[Place] = []
        self._features = PlaceFeatures(features)
        self._thumbnails = Thumbnails(thumbnails)
        self._borders: list[int] = []
        self._index: dict[int, int] = {}
        self._looks = Looks()
        self._services = Services()
        self._means = SessionMeans(grid)
        self._next: Session | None = None
        self._salt: tuple[str, ...] = ()
        self._current: Session | None = None
        self._numbers: dict[int, int] = {}

    @classmethod
    def for_weights(
        cls,
        weights: Network,
        storage: str = DEFAULT_STORAGE,
        features: int = 0,
        thumbnails: bool = False,
    ) -> ReferenceMap:
        """Start an empty map for descriptors made with `weights`, of whatever network."""
        grid = Grid(*weights.shape)
        return cls(weights.name, weights.fingerprint, storage, features, grid, thumbnails)

    @property
    def storage(self) -> str:
        """How descriptors are kept, a name in `STORAGES`."""
        return self._descriptors.storage.name

    @property
    def bytes_per_place(self) -> int:
        """What a place's descriptor takes, in memory as in the file."""
        return self._descriptors.storage.row_bytes(self.grid)

    @property
    def features(self) -> int:
        """For how many local features of each place there is room, 0 where none are kept."""
        return self._features.slots

    @property
    def has_points(self) -> bool:
        """Whether the depth of local features was known at any place."""
        return self._features.has_points

    def features_of(self, index: int) -> LocalFeatures | None:
        """Give the local features kept with a place; None where none are."""
        return self._features.of(index)

    @property
    def thumbnails(self) -> bool:
        """Whether small pictures of places are kept."""
        return self._thumbnails.kept

    def thumbnail_of(self, index: int) -> bytes | None:
        """Give the JPEG kept with a place (`imaging.thumbnail`); None where there is none."""
        return self._thumbnails.of(index)

    @property
    def borders(self) -> Sequence[int]:
        """Indices of the places that begin another session than the one before, ascending."""
        return self._borders

    @property
    def breaks(self) -> Sequence[int]:
        """Indices of the places that are no neighbours of the one before, ascending.

        There another session begins, places in between were left out or forgotten, or the drive
        goes over from first looks to other looks or back (`Place.follows`).
        """
        return self._looks.breaks

    def looks(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places before `end` that are other looks, and the first look of each.

        Both are (n,) int64 indices, those of looks ascending. Where the first look is not in the
        map any more, the earliest that is stands for it.
        """
        return self._looks.pairs(end)

    def looks_of(self, index: int) -> NDArray[np.int64]:
        """All looks of the place that place `index` shows, the first one first, (n,) int64."""
        return self._looks.of(index, len(self))

    @property
    def sessions(self) -> list[Session]:
        """The sessions of the map's places, in their order."""
        starts = [0, *self._borders] if self._places else []
        return [self._places[start].session for start in starts]

    @property
    def places(self) -> Sequence[Place]:
        """All places, session by session, in the order in which they were added."""
        return self._places

    def index_of(self, place: int) -> int | None:
        """Find a place by its id: its index in `places`, None where the map has it not."""
        return self._index.get(place)

    def __len__(self) -> int:
        return len(self._places)

    def require_weights(self, weights: Network, origin: str = "the map") -> None:
        """Raise MapError unless this map was made with `weights`; `origin` is for the message."""
        if weights.fingerprint != self.fingerprint:
            raise MapError(
                f"{origin} was built with other weights ({self.network} {self.fingerprint[:12]}) "
                f"than those in use ({weights.name} {weights.fingerprint[:12]}): "
                "use the same weights file or build the map again"
            )

    def begin_session(
        self,
        name: str = "",
        robot: str = "",
        frame: str = "",
        fixed: bool = False,
        salt: str = "",
    ) -> None:
        """Let the places that are added from now on be of a new session.

        Its poses are in the frame named `frame`. Where that is `fixed`, all frames of that name
        are one; else, as with odometry, which starts anew, it is a frame of its own. The session's
        number comes from what it begins with, and from `salt`, for two drives that begin alike.
        """
        self._salt = (salt,) if salt else ()
        frame_uid = session_uid("frame", frame) if fixed and frame else 0
        self._next = Session(0, name, robot, 0, frame, frame_uid)

    def add(
        self,
        descriptor: NDArray[np.float32],
        name: str,
        stamp_ns: int = 0,
        pose: Pose | None = None,
        features: LocalFeatures | None = None,
        look_of: int | None = None,
        thumbnail: bytes | None = None,
    ) -> Place:
        """Add a place by its (d,) float32 descriptor of norm 1 and return it, d as `grid` says.

        It is of the session last begun. Of its local features a map keeps as many as it has room
        for. `look_of` is the id of the place that it is another look of. Raises MapError for a
        descriptor of another size or that is not normalised.
        """
        row = self._as_rows(descriptor)
        if len(row) != 1:
            raise MapError(f"a place takes one descriptor, not {len(row)}")
        return self._extend(row, [name], [stamp_ns], [pose], [features], look_of, thumbnail)[0]

    def leave_out(self) -> None:
        """Tell that the drive went on without a new place.

        The next one will be no neighbour of the last one: a number is left out between them.
        """
        current = self._current
        if self._next is None and current is not None and self._places:
            last = self._places[-1]
            if last.session.uid == current.uid and last.number + 2 < MOST_PLACES:
                self._numbers[current.uid] = last.number + 2

    def serve(self, index: int) -> None:
        """Note that place `index` was recognised: it serves, and what was seen along with it.

        That is the first look of the place, and the four before and after that on its drive.
        """
        first = int(self.looks_of(index)[0])
        start, end = span_of(first, self.breaks, len(self))
        self._services.note([*range(max(start, first - NEAR), min(end, first + NEAR + 1)), index])

    @property
    def served(self) -> int:
        """How often a place was recognised, or added, since the map began."""
        return self._services.clock

    def least_serving(self, count: int) -> NDArray[np.int64]:
        """The `count` places that were neither added nor recognised for longest, (count,) int64.

        Of those that are equal in this, other looks come before first ones, and old before new.
        """
        return self._services.least(count, self.looks(len(self))[0])

    def extend(
        self,
        descriptors: NDArray[np.float32],
        names: Sequence[str],
        stamps_ns: Sequence[int] = (),
        poses: Sequence[Pose | None] = (),
        features: Sequence[LocalFeatures | None] = (),
    ) -> Sequence[Place]:
        """Add many places of one session at once, by (n, d) float32 descriptors of norm 1.

        What is not given is as in `add`. Returns the places; raises MapError as `add`.
        """
        return self._extend(descriptors, names, stamps_ns, poses, features)

    def _extend(
        self,
        descriptors: NDArray[np.float32],
        names: Sequence[str],
        stamps_ns: Sequence[int],
        poses: Sequence[Pose | None],
        features: Sequence[LocalFeatures | None],
        look_of: int | None = None,
        thumbnail: bytes | None = None,
    ) -> Sequence[Place]:
        rows = self._as_rows(descriptors)
        count = len(rows)
        stamps_ns, poses = stamps_ns or [0] * count, poses or [None] * count
        features = features or [None] * count
        if not len(names) == len(stamps_ns) == len(poses) == len(features) == count:
            raise MapError("names, stamps, poses and features are given for all places or none")
        squares = products(rows, rows)
        if not (np.abs(squares - 1) <= 1e-3).all():
            raise MapError("a place takes an L2-normalised descriptor: see Extractor.describe")
        for first in range(0, count, _AT_ONCE):
            piece = slice(first, first + _AT_ONCE)
            turned = turn(rows[piece], self.grid)
            code = encode(turned)
            session = self._session(names[first], stamps_ns[first], code[0])
            number = self._numbers.get(session.uid, 0)
            if number + len(code) > MOST_PLACES:
                raise MapError(f"a session has at most {MOST_PLACES} places: begin another one")
            self._numbers[session.uid] = number + len(code)
            self._descriptors.add(code, rows[piece])
            self._features.add(features[piece])
            self._thumbnails.add([thumbnail] * len(code))
            for image, facts in enumerate(
                zip(names[piece], stamps_ns[piece], poses[piece], strict=True)
            ):
                self._means.add(session.uid, turned[image])
                name, stamp_ns, pose = facts
                place = place_id(session, number + image)
                self._add_place(Place(place, name, stamp_ns, session, pose, look_of))
                self._services.add()
        return self._places[len(self._places) - count :]

    def _session(self, name: str, stamp_ns: int, code: NDArray[np.uint8]) -> Session:
        """The session that a new place belongs to; it begins with its first place."""
        if self._next is None and self._current is not None:
            return self._current
        begun = self._next or Session(0)
        facts = begun.name, begun.robot, begun.frame, name, stamp_ns, code.tobytes(), *self._salt
        uid = session_uid(self.fingerprint, len(self._numbers), *facts)
        self._next = None
        self._current = replace(begun, uid=uid, start_ns=stamp_ns, frame_uid=begun.frame_uid or uid)
        return self._current

    def _add_place(self, place: Place) -> None:
        if self._places and self._places[-1].session.uid != place.session.uid:
            self._borders.append(len(self._places))
        self._index[place.id] = len(self._places)
        self._looks.add(place, self._places[-1] if self._places else None, self._index)
        self._places.append(place)

    def search(self, descriptors: NDArray[np.float32], k: int) -> SearchResult:
        """Find the `k` nearest places of (queries, d) or (d,) float32 descriptors.

        With fewer than `k` places in the map, all of them are returned. Every query gives the
        same answer alone as among others.
        """
        if k < 1:
            raise MapError(f"k is {k}: ask for at least one neighbour")
        queries = self._as_rows(descriptors)
        k = min(k, len(self))
        indices = np.empty((len(queries), k), np.int64)
        distances = np.empty((len(queries), k), np.float32)
        for row, query in enumerate(queries if k else ()):
            indices[row], distances[row] = self._descriptors.search(query, k)
        return SearchResult(indices, distances)

    def distances(
        self, descriptor: NDArray[np.float32], indices: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compute the distances (eq. 6) of a (d,) float32 descriptor to places, ascending.

        Returns (len(indices),) float32. Neither here nor in `search` must a query be of norm 1.
        """
        return self._descriptors.distances(self._as_rows(descriptor)[0], indices)

    def distances_between(self, place: int, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute, or estimate from bits, the distances (eq. 6) of a place to others, ascending.

        Returns (len(indices),) float32.
        """
        return self._descriptors.distances_between(place, indices)

    def candidates(
        self, signs: NDArray[np.uint8], count: int, shifts: Shifts, end: int | None = None
    ) -> NDArray[np.int64]:
        """Choose `count` places, of those before `end`, that may be nearest; see `Candidates`."""
        return self._descriptors.candidates(signs, count, shifts, end)

    def codes(self, indices: NDArray[np.int64]) -> Codes:
        """Copy out the bits of places, ascending."""
        return self._descriptors.codes(indices)

    def means(self) -> NDArray[np.float32]:
        """The mean turned feature map of each of `sessions`, (sessions, cells, bits) float32.

        It is that of all images that became places of a session, also of those since forgotten.
        """
        return self._means.of([session.uid for session in self.sessions])

    def descriptors(self, first: int = 0, last: int | None = None) -> NDArray[np.float32]:
        """Copy out the descriptors of places `first` to before `last`, (n, d) float32.

        A lossy storage gives them back as well as it kept them, of norm 1.
        """
        return self._descriptors.descriptors(np.arange(len(self), dtype=np.int64)[first:last])

    def select(self, indices: Iterable[int]) -> ReferenceMap:
        """Make a map of the places `indices` alone, in the order they have here.

        What is kept of each is copied bit for bit, its id as well. Calibrations are left behind,
        for they are of this map as a whole. Raises MapError for an index that no place has.
        """
        kept = np.unique(np.fromiter(indices, np.int64))
        if len(kept) and not 0 <= kept[0] <= kept[-1] < len(self):
            wrong = kept[0] if kept[0] < 0 else kept[-1]
            raise MapError(f"there is no place {wrong} in a map of {len(self)} places")
        selected = self._alike()
        selected.adopt(self, kept)
        selected._next, selected._current = self._next, self._current
        return selected

    def _alike(self) -> ReferenceMap:
        """Start an empty map that keeps places as this one does."""
        return ReferenceMap(
            self.network,
            self.fingerprint,
            self.storage,
            self.features,
            self.grid,
            self.thumbnails,
        )

    def adopt(self, other: ReferenceMap, indices: NDArray[np.int64], session: str = "") -> None:
        """Add the places `indices`, ascending, of a map of the same weights and storage.

        What is kept of them is copied bit for bit; sessions without a name get `session` for one.
        """
        named = {one.uid: replace(one, name=one.name or session) for one in other.sessions}
        self._adopt(other, indices, named)

    def _adopt(
        self,
        other: ReferenceMap,
        indices: NDArray[np.int64],
        named: Mapping[int, Session] | None = None,
    ) -> None:
        self._descriptors.adopt(other._descriptors, indices)
        self._features.adopt(other._features, indices)
        self._thumbnails.adopt(other._thumbnails, indices)
        self._services.adopt(other._services, indices)
        self._means.adopt(other._means)
        self._numbers.update(other._numbers)
        for place in (other._places[index] for index in indices.tolist()):
            known = named[place.session.uid] if named else place.session
            self._add_place(place if known is place.session else replace(place, session=known))

    def regrouped(self) -> ReferenceMap:
        """Make a map of the same places with those of a session together, as a map file has them.

        Sessions are in the order of their first places. Places may be added meanwhile; those that
        were there are taken.
        """
        members: dict[int, list[int]] = {}
        for index, place in enumerate(list(self._places)):
            members.setdefault(place.session.uid, []).append(index)
        grouped = self._alike()
        for indices in members.values():
            indices.sort(key=lambda index: self._places[index].number)
            for run in np.split(indices, 1 + np.flatnonzero(np.diff(indices) < 0)):
                grouped._adopt(self, np.array(run, np.int64))
        grouped.calibrations = dict(self.calibrations)
        return grouped

    def content(self) -> MapContent:
        """Look at all that a map file holds, as it is at this moment.

        It stays as it is when places are added later, so it can be written meanwhile.
        """
        tables = {name: list(table.filled()) for name, table in self._descriptors.tables.items()}
        if self.features:
            tables[FEATURES] = self._features.filled()
        if self.has_points:
            tables[POINTS] = self._features.filled_points()
        return MapContent(
            self.network,
            self.fingerprint,
            self.grid,
            self.storage,
            list(self._places),
            self._means.content(self.sessions, self._numbers),
            tables,
            list(self.calibrations.values()),
            self._services.rows() if self._services.noted else None,
            list(self._thumbnails.filled()) if self.thumbnails else None,
        )

    def save(self, path: Path) -> None:
        """Save to a map file, atomically; raises VprError when the disk does not take it."""
        write_map(path, self.content())

    @classmethod
    def load(cls, path: Path) -> ReferenceMap:
        """Load a map file; raises MapError when it is missing, damaged, truncated or foreign.

        Places added to it later are of a new session.
        """
        return cls.of_content(read_map(path))

    @classmethod
    def of_content(cls, content: MapContent) -> ReferenceMap:
        """Take what a map holds, each table of which is one array; see `load`."""
        loaded = cls(content.network, content.fingerprint, content.storage, grid=content.grid)
        empty = loaded._descriptors
        rows = {name: content.tables[name][0] for name in empty.tables}
        loaded._descriptors = DescriptorIndex.of_tables(empty.storage, content.grid, rows)
        if FEATURES in content.tables:
            points = content.tables.get(POINTS, [None])[0]
            loaded._features = PlaceFeatures.of_rows(content.tables[FEATURES][0], points)
        loaded._thumbnails = Thumbnails(content.thumbnails is not None, content.thumbnails or ())
        for place in content.places:
            loaded._add_place(place)
        loaded._services = Services.of_rows(len(loaded), content.services)
        loaded._means = SessionMeans.of_content(content.grid, content.sessions)
        loaded._numbers = {one.session.uid: one.added for one in content.sessions}
        loaded.calibrations = {known.mode: known for known in content.calibrations}
        return loaded

    def _as_rows(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.ascontiguousarray(np.atleast_2d(descriptors), np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.grid.dimension:
            raise MapError(
                f"descriptors of {self.network} have {self.grid.dimension} values, not shape "
                f"{np.shape(descriptors)}"
            )
        if not np.isfinite(rows).all():
            raise MapError("descriptors are numbers: this one has values that are not finite")
        return rows
