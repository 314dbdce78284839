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
from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE
from floppynet_vpr.extraction.local_features import LocalFeatures
from floppynet_vpr.mapping.blocks import Blocks
from floppynet_vpr.mapping.calibration import Calibration
from floppynet_vpr.mapping.map_file import FEATURES, MapContent, MapError, read_map, write_map
from floppynet_vpr.mapping.place_features import PlaceFeatures
from floppynet_vpr.mapping.places import Place, Pose
from floppynet_vpr.mapping.ranking import smallest
from floppynet_vpr.mapping.rotation import Batch
from floppynet_vpr.mapping.sketches import SKETCH_BYTES, Sketches, sketch
from floppynet_vpr.mapping.storages import DEFAULT_STORAGE, STORAGES, Storage
from floppynet_vpr.network.weights import NetworkWeights

COMPARED = 256
"""Places whose descriptors are compared with a query's; larger maps choose them by sketch."""


@dataclass(frozen=True)
class SearchResult:
    """The nearest places of each query, nearest first, ties by the lower id.

    `ids` is (queries, k) int64; `distances` is (queries, k) float32, Euclidean (eq. 6), 0 to 2.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float32]


class ReferenceMap:
    """Places and their L2-normalised descriptors, searched for the nearest.

    A map belongs to the weights that made its descriptors and says so in its file. `storage` names
    how descriptors are kept (see `storages`). Up to 256 places, and with `float32` always, a query
    is compared with every place. In larger maps it is compared with the 256 places whose sketches
    are nearest, so the time of a search hardly grows; a place beyond them would be missed.
    With `features` above 0 up to so many local features are kept with each place.
    """

    def __init__(
        self, network: str, fingerprint: str, storage: str = DEFAULT_STORAGE, features: int = 0
    ) -> None:
        """Start an empty map for the weights with this network name and fingerprint.

        Raises MapError for an unknown storage.
        """
        if storage not in STORAGES:
            raise MapError(f"unknown storage '{storage}': choose one of {', '.join(STORAGES)}")
        self.network = network
        self.fingerprint = fingerprint
        self.calibrations: dict[str, Calibration] = {}
        """What was learned of this map's answers (`calibrate`), by `Calibration.mode`."""
        self._storage = STORAGES[storage]
        self._places: list[Place] = []
        self._rows = Blocks(self._storage.row_bytes)
        self._sketches = None if self._storage.exact else Sketches()
        self._features = PlaceFeatures(features)
        self._borders: list[int] = []
        self._asked: Batch | None = None

    @classmethod
    def for_weights(
        cls, weights: NetworkWeights, storage: str = DEFAULT_STORAGE, features: int = 0
    ) -> ReferenceMap:
        """Start an empty map for descriptors made with `weights`."""
        return cls(weights.spec.name, weights.fingerprint, storage, features)

    @property
    def storage(self) -> str:
        """How descriptors are kept, a name in `STORAGES`."""
        return self._storage.name

    @property
    def bytes_per_place(self) -> int:
        """What a place's descriptor takes, in memory as in the file."""
        return sum(_tables(self._storage).values())

    @property
    def features(self) -> int:
        """For how many local features of each place there is room, 0 where none are kept."""
        return self._features.slots

    def features_of(self, place: int) -> LocalFeatures | None:
        """Give the local features kept with a place; None where none are."""
        return self._features.of(place)

    @property
    def borders(self) -> Sequence[int]:
        """Ids of the places that begin another session than the place before was in, ascending."""
        return self._borders

    @property
    def places(self) -> Sequence[Place]:
        """All places; `places[i].id == i`."""
        return self._places

    def __len__(self) -> int:
        """Count the places."""
        return len(self._places)

    def require_weights(self, weights: NetworkWeights, origin: str = "the map") -> None:
        """Raise MapError unless this map was made with `weights`; `origin` is for the message."""
        if weights.fingerprint != self.fingerprint:
            raise MapError(
                f"{origin} was built with other weights ({self.network} {self.fingerprint[:12]}) "
                f"than those in use ({weights.spec.name} {weights.fingerprint[:12]}): "
                "use the same weights file or build the map again"
            )

    def add(
        self,
        descriptor: NDArray[np.float32],
        name: str,
        stamp_ns: int = 0,
        pose: Pose | None = None,
        session: str = "",
        features: LocalFeatures | None = None,
    ) -> Place:
        """Add a place by its (9216,) float32 descriptor of norm 1 and return it.

        Of its local features a map keeps as many as it has room for.

        Raises MapError for a descriptor of another size or that is not normalised.
        """
        rows = _as_rows(descriptor)
        if len(rows) != 1:
            raise MapError(f"a place takes one descriptor, not {len(rows)}")
        return self.extend(rows, [Place(len(self), name, stamp_ns, pose, session)], [features])[0]

    def extend(
        self,
        descriptors: NDArray[np.float32],
        places: Sequence[Place],
        features: Sequence[LocalFeatures | None] = (),
    ) -> Sequence[Place]:
        """Add many places at once, by (n, 9216) float32 descriptors of norm 1.

        The places' ids must go on where the map's end. Returns them; raises MapError as `add`.
        """
        rows = _as_rows(descriptors)
        if [place.id for place in places] != list(range(len(self), len(self) + len(rows))):
            raise MapError(f"the places' ids must count on from {len(self)}, one per descriptor")
        squares = products(rows, rows)
        if not (np.abs(squares - 1) <= 1e-3).all():
            raise MapError("a place takes an L2-normalised descriptor: see Extractor.describe")
        if features and len(features) != len(rows):
            raise MapError("local features are given for all places or for none")
        if not len(rows):
            return places
        batch = Batch(rows)
        if self._sketches is not None:
            self._sketches.add(sketch(batch.rotated))
        self._rows.add(self._storage.encode(batch))
        self._features.add(features or [None] * len(places))
        self._add_places(places)
        return places

    def _add_places(self, places: Sequence[Place]) -> None:
        for place in places:
            if self._places and self._places[-1].session != place.session:
                self._borders.append(place.id)
            self._places.append(place)

    def search(self, descriptors: NDArray[np.float32], k: int) -> SearchResult:
        """Find the `k` nearest places of (queries, 9216) or (9216,) float32 descriptors.

        With fewer than `k` places in the map, all of them are returned. Every query gives the
        same answer alone as among others.
        """
        if k < 1:
            raise MapError(f"k is {k}: ask for at least one neighbour")
        queries = _as_rows(descriptors)
        k = min(k, len(self))
        ids = np.empty((len(queries), k), np.int64)
        distances = np.empty((len(queries), k), np.float32)
        if k:
            for index, descriptor in enumerate(queries):
                ids[index], distances[index] = self._nearest(self._query(descriptor[None]), k)
        return SearchResult(ids, distances)

    def _nearest(self, query: Batch, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        compared = max(k, COMPARED)
        ids = None
        if self._sketches is not None and compared < len(self):
            ids = self._sketches.nearest(query.rotated, compared)
        distances = np.sqrt(
            np.concatenate([self._storage.squares(query, rows) for rows in self._rows.chunks(ids)])
        )
        order = smallest(distances, k)
        return (order if ids is None else ids[order]), distances[order]

    def _query(self, descriptor: NDArray[np.float32]) -> Batch:
        """Prepare a (1, 9216) query; a frame asks several times, and is rotated once."""
        query = self._asked
        if query is None or not np.array_equal(query.descriptors, descriptor):
            self._asked = query = Batch(descriptor.copy())
        return query

    def distances(
        self, descriptor: NDArray[np.float32], ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compute the distances of a (9216,) float32 descriptor to the places `ids`, ascending.

        Returns (len(ids),) float32. Neither here nor in `search` must a query be of norm 1.
        """
        query = self._query(_as_rows(descriptor)[:1])
        parts = [self._storage.squares(query, rows) for rows in self._rows.chunks(ids)]
        return np.sqrt(np.concatenate([np.empty(0, np.float32), *parts]))

    def descriptors(self, first: int = 0, last: int | None = None) -> NDArray[np.float32]:
        """Copy out the descriptors of places `first` to before `last`, (n, 9216) float32.

        A lossy storage gives them back as well as it kept them.
        """
        ids = np.arange(len(self), dtype=np.int64)[first:last]
        parts = [self._storage.decode(rows) for rows in self._rows.chunks(ids)]
        return np.concatenate([np.empty((0, DESCRIPTOR_SIZE), np.float32), *parts])

    def select(self, ids: Iterable[int]) -> ReferenceMap:
        """Make a map of the places `ids` alone, in the order they have here, numbered from 0.

        What is kept of each is copied bit for bit. Calibrations are left behind, for they are of
        this map as a whole. Raises MapError for an id that no place has.
        """
        kept = np.unique(np.fromiter(ids, np.int64))
        if len(kept) and not 0 <= kept[0] <= kept[-1] < len(self):
            wrong = kept[0] if kept[0] < 0 else kept[-1]
            raise MapError(f"there is no place {wrong} in a map of {len(self)} places")
        selected = ReferenceMap(self.network, self.fingerprint, self.storage, self.features)
        selected.adopt(self, kept)
        return selected

    def adopt(self, other: ReferenceMap, ids: NDArray[np.int64], session: str = "") -> None:
        """Add the places `ids`, ascending, of a map of the same weights and storage.

        What is kept of them is copied bit for bit; those without a session get `session`.
        """
        self._features.adopt(other._features, ids)
        for rows in other._rows.chunks(ids):
            self._rows.add(rows)
        if self._sketches is not None and other._sketches is not None and len(ids):
            self._sketches.add(other._sketches.rows()[ids])
        start = len(self)
        taken = [other._places[old] for old in ids.tolist()]
        self._add_places(
            [
                replace(place, id=start + i, session=place.session or session)
                for i, place in enumerate(taken)
            ]
        )

    def content(self) -> MapContent:
        """Look at all that a map file holds, as it is at this moment.

        It stays as it is when places are added later, so it can be written meanwhile.
        """
        tables = {"rows": list(self._rows.filled())}
        if self._sketches is not None and len(self):
            tables["sketches"] = [self._sketches.rows()]
        if self.features and len(self):
            tables[FEATURES] = self._features.filled()
        return MapContent(
            self.network,
            self.fingerprint,
            self.storage,
            list(self._places),
            tables,
            list(self.calibrations.values()),
        )

    def save(self, path: Path) -> None:
        """Save to a map file, atomically; raises VprError when the disk does not take it."""
        write_map(path, self.content())

    @classmethod
    def load(cls, path: Path) -> ReferenceMap:
        """Load a map file; raises MapError when it is missing, damaged, truncated or foreign."""
        content = read_map(path, {name: _tables(storage) for name, storage in STORAGES.items()})
        loaded = cls(content.network, content.fingerprint, content.storage)
        loaded._rows = Blocks(loaded._rows.row_bytes, content.tables["rows"][0])
        if loaded._sketches is not None:
            loaded._sketches.add(content.tables["sketches"][0])
        if FEATURES in content.tables:
            loaded._features = PlaceFeatures.of_rows(content.tables[FEATURES][0])
        loaded._add_places(content.places)
        loaded.calibrations = {known.mode: known for known in content.calibrations}
        return loaded


def _tables(storage: Storage) -> Mapping[str, int]:
    """The tables of a storage's file and their bytes per row."""
    rows = {"rows": storage.row_bytes}
    return rows if storage.exact else rows | {"sketches": SKETCH_BYTES}


def _as_rows(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.ascontiguousarray(np.atleast_2d(descriptors), np.float32)
    if rows.ndim != 2 or rows.shape[1] != DESCRIPTOR_SIZE:
        raise MapError(
            f"descriptors have {DESCRIPTOR_SIZE} values, not shape {np.shape(descriptors)}"
        )
    if not np.isfinite(rows).all():
        raise MapError("descriptors are numbers: this one has values that are not finite")
    return rows
