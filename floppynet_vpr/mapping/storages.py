# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How a map keeps its descriptors: from exact to 22 times smaller.

| storage | bytes a place | what is kept | error of a squared distance |
|---|---|---|---|
| float32 | 36,864 | the descriptor | none but float32's own |
| float16 | 18,432 | the descriptor, lossy: 11 significant bits | below 0.0001 |
| int8 | 9,220 | lossy: integers to +-127 and a factor | 0.0003 |
| pq | 4,996 | lossy: channel means, a byte for each pair of rotated coordinates | 0.001 to 0.002 |
| binary | 1,636 | lossy: channel means, a bit for each rotated coordinate | 0.008 to 0.016 |

The error is a standard deviation, without bias. Distances are those of eq. 6 for every storage:
the query stays exact, and each place carries the factor that makes its product with the descriptor
it was made from exact. `pq` is a product quantiser whose sub-spaces are pairs of coordinates;
rotation makes them Gaussian (see `rotation`), so all share Lloyd's and Max's 16 x 16 levels, and a
map may grow from its first place on without training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import products
from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE
from floppynet_vpr.mapping.rotation import CHANNELS, REST, Batch, Rotated, rotate_back

DEFAULT_STORAGE = "pq"

# The levels that lose least of a Gaussian value of variance 1 in 4 bits (Max, 1960).
_HALF_LEVELS = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0691, 2.7326)
_LEVELS = np.array([*(-level for level in reversed(_HALF_LEVELS)), *_HALF_LEVELS], np.float32)
_MEANS_BYTES = 2 * CHANNELS
_FACTOR_BYTES = 4


class Storage(ABC):
    """A way to keep descriptors as rows of bytes.

    `exact` says that distances are those of the descriptors themselves, by comparison with all.
    """

    name: str
    row_bytes: int
    exact = False

    @abstractmethod
    def encode(self, batch: Batch) -> NDArray[np.uint8]:
        """Make rows of n descriptors of norm 1: (n, row_bytes) uint8."""

    @abstractmethod
    def decode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give back the descriptors as well as they were kept: (n, 9216) float32."""

    @abstractmethod
    def squares(self, query: Batch, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate the squared distances (eq. 6) to `rows` of `query`, one descriptor.

        They are (n,) float32, from 0 on. A row gives the same value among any others.
        """


class Float32(Storage):
    """The descriptors themselves."""

    name = "float32"
    row_bytes = 4 * DESCRIPTOR_SIZE
    exact = True

    def encode(self, batch: Batch) -> NDArray[np.uint8]:
        """Take the bytes; see `Storage`."""
        return np.ascontiguousarray(batch.descriptors, "<f4").view(np.uint8)

    def decode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Take the values; see `Storage`."""
        return rows.view("<f4")

    def squares(self, query: Batch, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute them; see `Storage`."""
        difference = self.decode(rows) - query.descriptors
        return products(difference, difference)


class Float16(Storage):
    """The descriptors in half precision."""

    name = "float16"
    row_bytes = 2 * DESCRIPTOR_SIZE

    def encode(self, batch: Batch) -> NDArray[np.uint8]:
        """Round; see `Storage`."""
        return batch.descriptors.astype("<f2").view(np.uint8)

    def decode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Widen; see `Storage`."""
        return _widen(rows)

    def squares(self, query: Batch, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute them; see `Storage`."""
        difference = self.decode(rows) - query.descriptors
        return products(difference, difference)


class Int8(Storage):
    """Integers in proportion to pool5, up to +-127."""

    name = "int8"
    row_bytes = _FACTOR_BYTES + DESCRIPTOR_SIZE

    def encode(self, batch: Batch) -> NDArray[np.uint8]:
        """Scale and round; see `Storage`."""
        descriptors = batch.descriptors
        largest = np.abs(descriptors).max(1, keepdims=True)
        codes = np.rint(descriptors * (127 / largest)).astype(np.int8)
        factor = _factor(descriptors, codes)
        return np.concatenate([_bytes(factor, "<f4"), codes.view(np.uint8)], axis=1)

    def decode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scale to norm 1; see `Storage`."""
        _, codes = self._split(rows)
        return codes / np.linalg.norm(codes, axis=1, keepdims=True)

    def squares(self, query: Batch, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate them; see `Storage`."""
        factor, codes = self._split(rows)
        return _squares(query, factor * products(codes, query.descriptors[0]))

    @staticmethod
    def _split(rows: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        factor = np.ascontiguousarray(rows[:, :_FACTOR_BYTES]).view("<f4")[:, 0]
        return factor, rows[:, _FACTOR_BYTES:].view(np.int8).astype(np.float32)


class _MeansAndRest(Storage):
    """Channel means in half precision, a factor, and a code of the rotated rest."""

    @abstractmethod
    def _encode_rest(self, rest: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Code (n, 8960) values of mean square 1."""

    @abstractmethod
    def _decode_rest(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give back (n, 8960) values of about the same direction."""

    def encode(self, batch: Batch) -> NDArray[np.uint8]:
        """Rotate and code; see `Storage`."""
        rotated = batch.rotated
        size = np.linalg.norm(rotated.rest, axis=1, keepdims=True).astype(np.float32)
        size = np.where(size > 0, size / np.float32(REST**0.5), np.float32(1))
        codes = self._encode_rest(rotated.rest / size)
        factor = _factor(rotated.rest, self._decode_rest(codes))
        means = _bytes(rotated.means, "<f2")
        return np.concatenate([means, _bytes(factor, "<f4"), codes], axis=1)

    def decode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Decode, scale to norm 1 and rotate back; see `Storage`."""
        means, _, rest = self._split(rows)
        size = np.sqrt(np.maximum(1 - products(means, means), 0) / products(rest, rest))
        return rotate_back(Rotated(means, rest * size[:, None]))

    def squares(self, query: Batch, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate them; see `Storage`."""
        means, factor, rest = self._split(rows)
        exact = query.rotated
        likeness = products(means, exact.means[0])
        likeness += factor * products(rest, exact.rest[0])
        return _squares(query, likeness)

    def _split(
        self, rows: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        means, factor, codes = np.split(rows, [_MEANS_BYTES, _MEANS_BYTES + _FACTOR_BYTES], axis=1)
        values = np.ascontiguousarray(factor).view("<f4")[:, 0]
        return _widen(means), values, self._decode_rest(codes)


class ProductQuantised(_MeansAndRest):
    """A byte for each pair of rotated coordinates: one of 16 levels for each."""

    name = "pq"
    row_bytes = _MEANS_BYTES + _FACTOR_BYTES + REST // 2

    def _encode_rest(self, rest: NDArray[np.float32]) -> NDArray[np.uint8]:
        levels = np.zeros(rest.shape, np.uint8)
        for limit in (_LEVELS[1:] + _LEVELS[:-1]) / 2:  # much faster than searchsorted
            levels += rest > limit
        return levels[:, 0::2] << np.uint8(4) | levels[:, 1::2]

    def _decode_rest(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        # Both values of a pair are looked up at once, as one number of eight bytes; by OpenCV,
        # whose look-up is four times as fast as numpy's.
        return np.asarray(cv2.LUT(codes, _pairs())).view(np.float32)


class Binary(_MeansAndRest):
    """A bit for each rotated coordinate: its sign."""

    name = "binary"
    row_bytes = _MEANS_BYTES + _FACTOR_BYTES + REST // 8

    def _encode_rest(self, rest: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.packbits(rest >= 0, axis=1)

    def _decode_rest(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1


STORAGES: dict[str, Storage] = {
    storage.name: storage
    for storage in (Float32(), Float16(), Int8(), ProductQuantised(), Binary())
}
"""The storages by name, largest first."""


def _factor(
    descriptors: NDArray[np.float32], coded: NDArray[np.float32] | NDArray[np.int8]
) -> NDArray[np.float32]:
    """Scale `coded` so that its product with what it was made from is exact; 0 for zeros."""
    exact = np.array([_product(row, row) for row in descriptors])
    product = np.array([_product(*both) for both in zip(descriptors, coded, strict=True)])
    factor = np.divide(exact, product, out=np.zeros_like(exact), where=product > 0)
    return factor[:, None].astype(np.float32)


def _product(one: NDArray[np.float32], other: NDArray[np.float32] | NDArray[np.int8]) -> np.float64:
    return np.multiply(one, other, dtype=np.float64).sum()


def _squares(query: Batch, likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn products with places of norm 1 into squared distances."""
    square = products(query.descriptors, query.descriptors)
    return np.maximum(square + 1 - 2 * likeness, 0)


def _bytes(values: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values, kind).view(np.uint8)


def _widen(halves: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Read rows of half precision; by faiss, whose conversion is ten times as fast as numpy's."""
    return _half_precision(halves.shape[1] // 2).decode(np.ascontiguousarray(halves))


@lru_cache(maxsize=4)
def _half_precision(dimension: int) -> Any:
    import faiss

    return faiss.ScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16)


@lru_cache(maxsize=1)
def _pairs() -> NDArray[np.float64]:
    """The two float32 levels of each byte, high half first, seen as (1, 256) float64."""
    levels = np.broadcast_arrays(_LEVELS[:, None], _LEVELS)
    return np.stack(levels, axis=-1).view(np.float64).reshape(1, 256)
