# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
r"""The map file: written whole or not at all, checked before it is used.

The `.fvm` file, all values little-endian:

    offset  bytes  content
         0      8  magic: 89 46 56 4D 0D 0A 1A 0A (\x89 FVM CR LF \x1a LF)
         8      2  format version, uint16: 2
        10      6  reserved, 0
        16      8  bytes of the JSON text, uint64, a multiple of 64
        24      8  bytes of the tables, uint64
        32     32  SHA-256 of bytes 0 to 31 and of everything from byte 64 on
        64         JSON text, ASCII, padded with spaces:
                     network, fingerprint  the weights that made the descriptors
                     storage               how they are kept, a name in `storages.STORAGES`
                     dimension             values in a descriptor
                     grid                  its rows, columns and channels (`grid`); where there
                                           is none they are 6, 6 and 256
                     tables                in their order: [name, bytes of a row, rows]
                     sessions              in the order of their places, of each uid, name, robot,
                                           start_ns, frame, frame_uid (`places.Session`), places
                                           (how many are here), added and weight
                                           (`session_means.SessionContent`)
                     names                 of the places
                     calibrations          see `calibration`
                   the tables:
                     means     a row for each session: float32 (cells, bits), its mean turned map
                   and with a row for each place:
                     numbers   uint32, its number in its session
                     stamps    int64, nanoseconds
                     poses     float64: x, y, z, qx, qy, qz, qw; not a number where unknown
                     codes     its bits (`cells`)
                     vectors   float32: the descriptor; with the storage float32
                   and these where there are any:
                     features  local features (`extraction.local_features`)
                     points    with features, where depth was known: float32 x, y, z of each of its
                               corners, in metres in the optical frame of the camera at the place;
                               not a number where unknown
                     thumbnails  a JPEG of at most 4096 bytes, filled up with zeros; all zeros where
                               a place has none
                     growth    uint64 (2): the id of the place that it is another look of, its own
                               where of none; and when it last served (`looks.Services`)

Files of version 1 had stamps, poses and one text for the session of each place in the JSON text,
and the tables rows, sketches (`version1`) and features, with {name: bytes of a row} for `tables`.
They are read; their sessions get new numbers, the same each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.local_features import slots_of
from floppynet_vpr.files import open_file, write_atomically
from floppynet_vpr.imaging.thumbnail import MOST_BYTES
from floppynet_vpr.mapping import version1
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.map_content import (
    FEATURES,
    POINTS,
    POSE_VALUES,
    THUMBNAILS,
    Facts,
    MapContent,
    MapError,
    StoredRows,
    Table,
    TableSource,
    are_features,
    calibrations_of,
    first_places,
    pose_of,
)
from floppynet_vpr.mapping.place_features import POINT_BYTES
from floppynet_vpr.mapping.places import MOST_PLACES, MOST_SESSIONS, Place, Session, place_id
from floppynet_vpr.mapping.session_means import SessionContent
from floppynet_vpr.mapping.storages import STORAGES

MAGIC = b"\x89FVM\r\n\x1a\n"
VERSION = 2
_MEANS, _GROWTH = "means", "growth"
_GROWTH_BYTES = 16
MOST_SERVICES = 1 << 63
"""Above all ids, and above all that places can serve."""
_PLACE_TABLES = {"numbers": 4, "stamps": 8, "poses": 8 * POSE_VALUES}
_SESSION_FACTS = ("uid", "name", "robot", "start_ns", "frame", "frame_uid")
_HEAD = struct.Struct("<8sH6xQQ")
_DIGEST_BYTES = 32
_HEADER_BYTES = _HEAD.size + _DIGEST_BYTES
_ALIGNMENT = 64
_PIECE_BYTES = 1 << 20
_PIECE_PLACES = 128
_PAUSE_S = 0.0002

_Rows = Sequence[NDArray[np.uint8] | StoredRows]
_NO_POSE = (float("nan"),) * POSE_VALUES


def _tables(content: MapContent) -> dict[str, _Rows]:
    """The tables of the file, those of facts first."""
    places = content.places
    poses = [astuple(place.pose) if place.pose else _NO_POSE for place in places]
    return {
        _MEANS: _rows([one.mean for one in content.sessions], "<f4"),
        "numbers": _rows([place.number for place in places], "<u4"),
        "stamps": _rows([place.stamp_ns for place in places], "<i8"),
        "poses": _rows(poses, "<f8"),
        **content.tables,
        **({THUMBNAILS: content.thumbnails} if content.thumbnails is not None else {}),
        **({_GROWTH: _growth(content)} if content.services is not None else {}),
    }


def _growth(content: MapContent) -> Table:
    assert content.services is not None
    looks = [place.id if place.look_of is None else place.look_of for place in content.places]
    return _rows(list(zip(looks, content.services.tolist(), strict=True)), "<u8")


def _rows(values: Sequence[Any], kind: str) -> Table:
    """Make rows of bytes, in pieces: numpy lets no other thread run while it reads a list."""
    pieces = (
        np.array(values[first : first + _PIECE_PLACES], kind)
        for first in range(0, len(values), _PIECE_PLACES)
    )
    return [piece.reshape(len(piece), -1).view(np.uint8) for piece in pieces]


def write_map(path: Path, content: MapContent) -> None:
    """Write a map file, atomically; raises VprError when the disk does not take it."""
    tables = _tables(content)
    text = _to_json(content, tables)
    size = sum(rows.nbytes for table in tables.values() for rows in table)
    head = _HEAD.pack(MAGIC, VERSION, len(text), size)
    digest = hashlib.sha256(head)
    digest.update(text)
    for piece in _pieces(tables):
        digest.update(piece)
    write_atomically(path, _parts(head, digest.digest(), text, tables))


def _parts(
    head: bytes, digest: bytes, text: bytes, tables: Mapping[str, _Rows]
) -> Iterator[bytes | memoryview]:
    yield from (head, digest, text)
    yield from _pieces(tables)


def _pieces(tables: Mapping[str, _Rows]) -> Iterator[memoryview]:
    return (np.ascontiguousarray(rows).data for table in tables.values() for rows in table)


def is_map(path: Path) -> bool:
    """Tell whether there is a file that begins as a map does, of whatever version, sound or not."""
    try:
        with open_file(path) as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_map(path: Path) -> MapContent:
    """Read a map file.

    Sizes and checksum are checked before anything is used. Raises MapError with one sentence that
    names the file: missing, foreign, of another version, truncated or damaged.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            return _read(file, path)
    except OSError as error:
        raise MapError(
            f"cannot read the map {path}: {error.strerror}; build one with "
            f"'ros2 run floppynet_vpr build_map SOURCE --output {path}'"
        ) from None


def _read(file: BinaryIO, path: Path) -> MapContent:
    header = file.read(_HEADER_BYTES)
    if header[: len(MAGIC)] != MAGIC:
        raise MapError(f"{path} is not a map of floppynet_vpr: give a file made by build_map")
    actual = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER_BYTES:
        raise MapError(f"{path} is cut off after {actual} bytes: copy or build it again")
    _, version, text_bytes, table_bytes = _HEAD.unpack_from(header)
    if version not in (1, VERSION):
        raise MapError(
            f"{path} has map format {version}, this release reads formats up to {VERSION}: "
            "update floppynet_vpr or build the map again"
        )
    expected = _HEADER_BYTES + text_bytes + table_bytes
    if actual != expected:
        raise MapError(
            f"{path} has {actual} bytes where its header says {expected}: "
            "it is cut off or damaged, copy or build it again"
        )
    digest = hashlib.sha256(header[: _HEAD.size])
    text = file.read(text_bytes)
    digest.update(text)
    for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
        digest.update(piece)
    if digest.digest() != header[_HEAD.size :]:
        raise MapError(f"{path} is damaged (its checksum does not match): copy or build it again")
    file.seek(_HEADER_BYTES + text_bytes)
    return _content(text, TableSource(file, table_bytes), path, version)


def _to_json(content: MapContent, tables: Mapping[str, _Rows]) -> bytes:
    counts = [count for _, count in first_places(content.places)]
    facts = {
        "network": content.network,
        "fingerprint": content.fingerprint,
        "storage": content.storage,
        "dimension": content.grid.dimension,
        **({} if content.grid == POOL5 else {"grid": content.grid.shape}),
        "tables": [
            [name, rows[0].shape[1] if rows else 0, sum(len(part) for part in rows)]
            for name, rows in tables.items()
        ],
        "sessions": [
            {
                **{fact: getattr(one.session, fact) for fact in _SESSION_FACTS},
                "places": count,
                "added": one.added,
                "weight": one.weight,
            }
            for one, count in zip(content.sessions, counts, strict=True)
        ],
        "names": [place.name for place in content.places],
        "calibrations": [asdict(calibration) for calibration in content.calibrations],
    }
    text = _dump(facts).encode()
    return text + b" " * (-len(text) % _ALIGNMENT)


def _dump(facts: Mapping[str, Any]) -> str:
    """Write JSON in pieces, with pauses: Python's encoder lets no other thread run meanwhile."""
    return "{" + ", ".join(f"{json.dumps(key)}: {_value(facts[key])}" for key in facts) + "}"


def _value(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value)
    pieces = []
    for first in range(0, len(value), _PIECE_PLACES):
        pieces.append(json.dumps(value[first : first + _PIECE_PLACES])[1:-1])
        time.sleep(_PAUSE_S)
    return f"[{', '.join(pieces)}]"


def _content(text: bytes, tables: TableSource, path: Path, version: int) -> MapContent:
    """Take the checked bytes apart, as a map of this package."""
    try:
        facts = Facts(json.loads(text))
        dimension, storage = facts.one("dimension", int), facts.one("storage", str)
        grid = _grid(facts)
        if dimension != grid.dimension:
            raise MapError(
                f"{path} holds descriptors of {dimension} values, not {grid.dimension}: "
                "build the map again"
            )
        known = storage in STORAGES if version == VERSION else version1.tables(storage)
        if not known:
            raise MapError(
                f"{path} keeps descriptors as '{storage}', which this release does not know: "
                "update floppynet_vpr or build the map again"
            )
        content = (
            _current(facts, grid, storage, tables)
            if version == VERSION
            else version1.read_former(facts, storage, tables)
        )
        tables.end()
    except (ValueError, RecursionError) as error:
        raise MapError(f"{path} is not a sound map ({error}): build it again") from None
    return content


def _grid(facts: Facts) -> Grid:
    """The shape of the descriptors; ValueError where it is none."""
    if facts.get("grid") is None:
        return POOL5
    try:
        rows, columns, channels = facts.many("grid", int)
        return Grid(rows, columns, channels)
    except VprError:
        raise ValueError("grid is wrong") from None


def _current(facts: Facts, grid: Grid, storage: str, source: TableSource) -> MapContent:
    """Read what a file of this version holds; ValueError where it is not sound."""
    names = facts.many("names", str)
    described = [Facts(one) for one in facts.many("sessions", dict)]
    sessions = [
        Session(*(one.one(fact, int if fact in _INTEGERS else str) for fact in _SESSION_FACTS))
        for one in described
    ]
    counts = [one.one("places", int) for one in described]
    if sum(counts) != len(names) or any(count < 1 for count in counts):
        raise ValueError("sessions is wrong")
    uids = {session.uid for session in sessions}
    if len(uids) < len(sessions) or not all(0 <= uid < MOST_SESSIONS for uid in uids):
        raise ValueError("sessions is wrong")
    layout = _layout(facts, grid, storage, len(sessions), len(names))
    found = {
        name: source.take(rows, row_bytes)
        for name, row_bytes, rows in layout
        if name not in (THUMBNAILS, _GROWTH)
    }
    pictures = growth = None
    for name, row_bytes, rows in layout:
        if name == THUMBNAILS:
            pictures = source.leave(rows, row_bytes)
        elif name == _GROWTH:
            growth = source.take(rows, row_bytes).view("<u8")
    means = found.pop(_MEANS).view("<f4").reshape(-1, grid.cells, grid.bits)
    numbers, stamps, poses = (
        found.pop(name).view(kind) for name, kind in zip(_PLACE_TABLES, _KINDS, strict=True)
    )
    if len(numbers) and int(numbers.max()) >= MOST_PLACES:
        raise ValueError("numbers is wrong")
    of_place = [
        session for session, count in zip(sessions, counts, strict=True) for _ in range(count)
    ]
    ids = [
        place_id(session, number)
        for session, number in zip(of_place, numbers[:, 0].tolist(), strict=True)
    ]
    looks = ids if growth is None else growth[:, 0].tolist()
    places = [
        Place(own, name, stamp, session, pose_of(values), None if look == own else look)
        for own, session, name, stamp, values, look in zip(
            ids, of_place, names, stamps[:, 0].tolist(), poses.tolist(), looks, strict=True
        )
    ]
    if len({place.id for place in places}) < len(places):
        raise ValueError("numbers is wrong")
    if not np.isfinite(means).all():
        raise ValueError("means is wrong")
    if growth is not None and len(growth) and int(growth.max()) >= MOST_SERVICES:
        raise ValueError("growth is wrong")
    return MapContent(
        facts.one("network", str),
        facts.one("fingerprint", str),
        grid,
        storage,
        places,
        [
            SessionContent(session, one.one("added", int), mean, one.one("weight", int))
            for session, one, mean in zip(sessions, described, means, strict=True)
        ],
        {name: [rows] for name, rows in found.items()},
        calibrations_of(facts.get("calibrations")),
        None if growth is None else growth[:, 1].astype(np.uint64),
        None if pictures is None else [pictures],
    )


_INTEGERS = ("uid", "start_ns", "frame_uid")
_KINDS = ("<u4", "<i8", "<f8")


def _layout(
    facts: Facts, grid: Grid, storage: str, sessions: int, places: int
) -> list[tuple[str, int, int]]:
    """The tables of the file in their order, checked against what they have to be."""
    given = [tuple(one) for one in facts.many("tables", list)]
    layout = [
        (_MEANS, 4 * grid.cells * grid.bits, sessions),
        *((name, size, places) for name, size in _PLACE_TABLES.items()),
        *((name, size, places) for name, size in STORAGES[storage].tables(grid).items()),
    ]
    more = given[len(layout) :]
    # An empty table has no row to tell its size by.
    expected = [(name, size if rows else 0, rows) for name, size, rows in layout]
    if given[: len(layout)] != expected:
        raise ValueError("its tables do not fit")
    names = [name for name, _, _ in more]
    if names != [name for name in _OPTIONAL if name in names]:
        raise ValueError("its tables do not fit")
    for name, size, rows in more:
        if rows != places or (rows and not _OPTIONAL[name](size, more[0][1])):
            raise ValueError("its tables do not fit")
        if rows:
            layout.append((name, size, places))
    return layout


def _are_points(size: Any, features: Any) -> bool:
    if not are_features(features):
        return False
    return type(size) is int and size == slots_of(features) * POINT_BYTES


_OPTIONAL: dict[str, Callable[[Any, Any], bool]] = {
    FEATURES: lambda size, _: are_features(size),
    POINTS: _are_points,
    THUMBNAILS: lambda size, _: size == MOST_BYTES,
    _GROWTH: lambda size, _: size == _GROWTH_BYTES,
}
"""Tables that not every map has, in their order, and how many bytes of a row they may have.

The second number is that of a row of the first such table, features if there are points."""
