# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The reference map: places with their descriptors, searched for the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE
from floppynet_vpr.mapping.map_file import MapContent, MapError, read_map, write_map
from floppynet_vpr.mapping.places import Place, Pose
from floppynet_vpr.network.weights import NetworkWeights

# faiss computes fewer queries than this one by one, as differences; more of them through
# ||a||^2 + ||b||^2 - 2ab, whose cancellation would give a batch other distances than its queries.
_QUERIES_AT_ONCE = 16


@dataclass(frozen=True)
class SearchResult:
    """The nearest places of each query, nearest first, ties by the lower id.

    `ids` is (queries, k) int64; `distances` is (queries, k) float32, Euclidean (eq. 6), 0 to 2.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float32]


class ReferenceMap:
    """Places and their L2-normalised descriptors, with exact nearest-neighbour search.

    A map belongs to the weights that made its descriptors and says so in its file.
    """

    def __init__(self, network: str, fingerprint: str) -> None:
        """Start an empty map for the weights with this network name and fingerprint."""
        self.network = network
        self.fingerprint = fingerprint
        self._places: list[Place] = []
        self._index = _flat_index()

    @classmethod
    def for_weights(cls, weights: NetworkWeights) -> ReferenceMap:
        """Start an empty map for descriptors made with `weights`."""
        return cls(weights.spec.name, weights.fingerprint)

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
    ) -> Place:
        """Add a place by its (9216,) float32 descriptor of norm 1 and return it.

        Raises MapError for a descriptor of another size or that is not normalised.
        """
        row = _as_rows(descriptor)
        if len(row) != 1 or abs(float(row[0] @ row[0]) - 1) > 1e-3:
            raise MapError("a place takes one L2-normalised descriptor: see Extractor.describe")
        self._index.add(row)
        place = Place(len(self._places), name, stamp_ns, pose)
        self._places.append(place)
        return place

    def search(self, descriptors: NDArray[np.float32], k: int) -> SearchResult:
        """Find the `k` nearest places of (queries, 9216) or (9216,) float32 descriptors.

        With fewer than `k` places in the map, all of them are returned.
        """
        if k < 1:
            raise MapError(f"k is {k}: ask for at least one neighbour")
        queries = _as_rows(descriptors)
        k = min(k, len(self))
        ids = np.empty((len(queries), k), np.int64)
        squares = np.empty((len(queries), k), np.float32)
        if k:
            for start in range(0, len(queries), _QUERIES_AT_ONCE):
                part = slice(start, start + _QUERIES_AT_ONCE)
                squares[part], ids[part] = self._index.search(queries[part], k)
        distances = np.sqrt(squares)
        order = np.lexsort((ids, distances))
        return SearchResult(
            np.take_along_axis(ids, order, axis=1), np.take_along_axis(distances, order, axis=1)
        )

    def descriptors(self) -> NDArray[np.float32]:
        """Copy out all descriptors, (places, 9216) float32."""
        return self._index.reconstruct_n(0, len(self))

    def save(self, path: Path) -> None:
        """Save to a map file, atomically; raises VprError when the disk does not take it."""
        write_map(path, MapContent(self.network, self.fingerprint, self._places, self._rows()))

    def _rows(self) -> NDArray[np.float32]:
        """Look at the index's own memory, valid until the next `add`."""
        import faiss

        values = faiss.rev_swig_ptr(self._index.get_xb(), len(self) * DESCRIPTOR_SIZE)
        return values.reshape(-1, DESCRIPTOR_SIZE)

    @classmethod
    def load(cls, path: Path) -> ReferenceMap:
        """Load a map file; raises MapError when it is missing, damaged, truncated or foreign."""
        content = read_map(path)
        if content.descriptors.shape[1] != DESCRIPTOR_SIZE:
            raise MapError(
                f"{path} holds descriptors of {content.descriptors.shape[1]} values, "
                f"not {DESCRIPTOR_SIZE}: build the map again"
            )
        loaded = cls(content.network, content.fingerprint)
        loaded._index.add(content.descriptors)
        loaded._places = list(content.places)
        return loaded


def _flat_index() -> Any:
    import faiss

    # From k = 100 on faiss would collect neighbours in a way that breaks ties at random.
    faiss.cvar.distance_compute_min_k_reservoir = np.iinfo(np.int32).max
    return faiss.IndexFlatL2(DESCRIPTOR_SIZE)


def _as_rows(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.ascontiguousarray(np.atleast_2d(descriptors), np.float32)
    if rows.ndim != 2 or rows.shape[1] != DESCRIPTOR_SIZE:
        raise MapError(
            f"descriptors have {DESCRIPTOR_SIZE} values, not shape {np.shape(descriptors)}"
        )
    return rows
