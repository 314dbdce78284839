# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Reads map files of version 1, which kept descriptors in one of five ways.

| storage | bytes a place | what is kept |
|---|---|---|
| float32, float16 | 36,864, 18,432 | the values |
| int8 | 9,220 | a factor, integers |
| pq | 4,996 | channel means, a factor, 4 bits for each rotated coordinate |
| binary | 1,636 | channel means, a factor, a bit for each rotated coordinate |

The last two set the means of the 256 channels over the 36 positions apart by a Householder
reflection and turned the other 8,960 coordinates, twice permuted, signed and multiplied by
Hadamard's matrix, 256 values at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import products
from floppynet_vpr.mapping.cells import encode, hadamard, turn
from floppynet_vpr.mapping.grid import POOL5
from floppynet_vpr.mapping.map_content import (
    FEATURES,
    Facts,
    MapContent,
    Table,
    TableSource,
    are_features,
    calibrations_of,
    first_places,
    pose_of,
    typed,
)
from floppynet_vpr.mapping.places import Place, Session, place_id, session_uid
from floppynet_vpr.mapping.session_means import SessionMeans
from floppynet_vpr.mapping.storages import CODES, STORAGES, VECTORS

_CELLS, _CHANNELS = POOL5.cells, POOL5.channels
_REST = POOL5.dimension - _CHANNELS
_MEANS_BYTES = 2 * _CHANNELS
_FACTOR_BYTES = 4
_SKETCH_BYTES = 128
_ROUNDS = 2
# The levels that lose least of a Gaussian value of variance 1 in 4 bits (Max, 1960).
_HALF_LEVELS = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0691, 2.7326)
_LEVELS = np.array([*(-level for level in reversed(_HALF_LEVELS)), *_HALF_LEVELS], np.float32)


def tables(storage: str) -> dict[str, int] | None:
    """The tables of a storage and the bytes of a place in each; None for an unknown storage."""
    if storage not in _ROW_BYTES:
        return None
    rows = {"rows": _ROW_BYTES[storage]}
    return rows if storage == "float32" else rows | {"sketches": _SKETCH_BYTES}


def read_former(facts: Facts, storage: str, source: TableSource) -> MapContent:
    """Read what a file of version 1 holds; ValueError where it is not sound."""
    names, stamps = facts.many("names", str), facts.many("stamps_ns", int)
    poses = facts.one("poses", list)
    texts = [""] * len(names) if facts.get("sessions") is None else facts.many("sessions", str)
    if not len(names) == len(stamps) == len(poses) == len(texts):
        raise ValueError("names, stamps, poses and sessions are not equally many")
    layout = tables(storage) or {}
    given = facts.get("tables")
    size = given.get(FEATURES) if isinstance(given, dict) else None
    if names and size is not None and are_features(size):
        layout = {**layout, FEATURES: size}
    if names and given != layout:
        raise ValueError("its tables do not fit")
    found = {name: source.take(len(names), size) for name, size in layout.items()}
    rows = found["rows"]
    fingerprint = facts.one("fingerprint", str)
    places: list[Place] = []
    means, codes = SessionMeans(POOL5), []
    added: dict[int, int] = {}
    for count, (name, stamp, values, text) in enumerate(
        zip(names, stamps, poses, texts, strict=True)
    ):
        turned = turn(descriptors(storage, rows[count : count + 1]), POOL5)
        code = encode(turned)
        if not places or places[-1].session.name != text:
            uid = session_uid(fingerprint, len(added), text, name, stamp, code.tobytes())
            session = Session(uid, text, "", stamp, "", uid)
        number = added.get(session.uid, 0)
        added[session.uid] = number + 1
        means.add(session.uid, turned[0])
        codes.append(code)
        pose = None if values is None else pose_of(typed(values, list, "poses"))
        places.append(Place(place_id(session, number), name, stamp, session, pose))
    none = np.empty((0, STORAGES["binary"].tables(POOL5)[CODES]), np.uint8)
    kept: dict[str, Table] = {CODES: [np.concatenate([none, *codes])]}
    if storage == "float32":
        kept[VECTORS] = [rows]
    if FEATURES in found:
        kept[FEATURES] = [found[FEATURES]]
    return MapContent(
        facts.one("network", str),
        fingerprint,
        POOL5,
        "float32" if storage == "float32" else "binary",
        places,
        means.content([first.session for first, _ in first_places(places)], added),
        kept,
        calibrations_of(facts.get("calibrations")),
    )


def descriptors(storage: str, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give back (n, 9216) float32 descriptors of norm 1 as well as `rows` kept them."""
    found = _DECODERS[storage](rows)
    return np.asarray(found / np.sqrt(products(found, found))[:, None], np.float32)


def _int8(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    return rows[:, _FACTOR_BYTES:].view(np.int8).astype(np.float32)


def _pq(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    codes = rows[:, _MEANS_BYTES + _FACTOR_BYTES :]
    return _from_rest(rows, _LEVELS[np.stack([codes >> 4, codes & 15], axis=-1)])


def _binary(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    codes = rows[:, _MEANS_BYTES + _FACTOR_BYTES :]
    return _from_rest(rows, np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1)


def _from_rest(rows: NDArray[np.uint8], rest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn channel means and the direction of the other coordinates back."""
    means = np.ascontiguousarray(rows[:, :_MEANS_BYTES]).view("<f2").astype(np.float32)
    rest = rest.reshape(-1, _REST)
    rest = rest * np.sqrt(np.maximum(1 - products(means, means), 0) / products(rest, rest))[:, None]
    for order, signs in reversed(_shuffles()):
        turned = hadamard(rest.reshape(-1, _CHANNELS).T).T.reshape(-1, _REST) * signs
        rest = np.empty_like(turned)
        rest[:, order] = turned
    root = np.float32(_CELLS**0.5)
    others = rest.reshape(-1, _CELLS - 1, _CHANNELS)
    mirrored = others.sum(1) / root + means / root
    first = ((means - mirrored) / (root - 1))[:, None]
    return np.concatenate([mirrored[:, None], others + first], axis=1).reshape(-1, POOL5.dimension)


@cache
def _shuffles() -> tuple[tuple[NDArray[np.intp], NDArray[np.float32]], ...]:
    random = np.random.RandomState(227)
    return tuple(
        (random.permutation(_REST), (2 * random.randint(0, 2, _REST) - 1).astype(np.float32))
        for _ in range(_ROUNDS)
    )


_DECODERS: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.float32]]] = {
    "float32": lambda rows: rows.view("<f4"),
    "float16": lambda rows: rows.view("<f2").astype(np.float32),
    "int8": _int8,
    "pq": _pq,
    "binary": _binary,
}
_ROW_BYTES = {
    "float32": 4 * POOL5.dimension,
    "float16": 2 * POOL5.dimension,
    "int8": _FACTOR_BYTES + POOL5.dimension,
    "pq": _MEANS_BYTES + _FACTOR_BYTES + _REST // 2,
    "binary": _MEANS_BYTES + _FACTOR_BYTES + _REST // 8,
}
