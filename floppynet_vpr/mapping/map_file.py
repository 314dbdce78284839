# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
r"""The map file: written whole or not at all, checked before it is used.

The `.fvm` file, all values little-endian:

    offset  bytes  content
         0      8  magic: 89 46 56 4D 0D 0A 1A 0A (\x89 FVM CR LF \x1a LF)
         8      2  format version, uint16: 1
        10      6  reserved, 0
        16      8  bytes of the JSON text, uint64, a multiple of 64
        24      8  bytes of the tables, uint64
        32     32  SHA-256 of bytes 0 to 31 and of everything from byte 64 on
        64         JSON text, UTF-8, padded with spaces:
                     network, fingerprint  the weights that made the descriptors
                     storage               how they are kept, a name in `storages.STORAGES`
                     dimension             values in a descriptor
                     tables                the tables that follow: name and bytes in a row
                     names, stamps_ns      one each per place, in the order of their ids
                     poses                 per place [x, y, z, qx, qy, qz, qw] or null
                     calibrations          may be missing: see `calibration`
                     sessions              one per place; missing where no place has one
                   the tables, one row per place in the order of their ids:
                     rows      the descriptors as `storages` describes them
                     sketches  the bits of the coarse stage (`sketches`), unless "float32"
                     features  local features (`extraction.local_features`), if there are any
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE
from floppynet_vpr.extraction.local_features import slots_of
from floppynet_vpr.files import open_file, write_atomically
from floppynet_vpr.mapping.calibration import Calibration
from floppynet_vpr.mapping.places import Place, Pose

MAGIC = b"\x89FVM\r\n\x1a\n"
VERSION = 1
FEATURES = "features"
_HEAD = struct.Struct("<8sH6xQQ")
_DIGEST_BYTES = 32
_HEADER_BYTES = _HEAD.size + _DIGEST_BYTES
_ALIGNMENT = 64
_PIECE_BYTES = 1 << 20
_PIECE_PLACES = 128
_PAUSE_S = 0.0002

Table = Sequence[NDArray[np.uint8]]
"""Rows of equal length, (n, row_bytes) uint8 each, to be taken one array after the other."""


class MapError(VprError):
    """A map that cannot be read, written or used."""


@dataclass(frozen=True)
class MapContent:
    """Everything a map file holds; each table has one row per place."""

    network: str
    fingerprint: str
    storage: str
    places: Sequence[Place]
    tables: Mapping[str, Table]
    calibrations: Sequence[Calibration] = ()


def write_map(path: Path, content: MapContent) -> None:
    """Write a map file, atomically; raises VprError when the disk does not take it."""
    text = _to_json(content)
    size = sum(rows.nbytes for table in content.tables.values() for rows in table)
    head = _HEAD.pack(MAGIC, VERSION, len(text), size)
    digest = hashlib.sha256(head)
    digest.update(text)
    for piece in _pieces(content.tables):
        digest.update(piece)
    write_atomically(path, _parts(head, digest.digest(), text, content.tables))


def _parts(
    head: bytes, digest: bytes, text: bytes, tables: Mapping[str, Table]
) -> Iterator[bytes | memoryview]:
    yield from (head, digest, text)
    yield from _pieces(tables)


def _pieces(tables: Mapping[str, Table]) -> Iterator[memoryview]:
    return (np.ascontiguousarray(rows).data for table in tables.values() for rows in table)


def read_map(path: Path, layouts: Mapping[str, Mapping[str, int]]) -> MapContent:
    """Read a map file.

    `layouts` holds for every storage its tables and their bytes per row. Sizes and checksum are
    checked before anything is used. Raises MapError with one sentence that names the file:
    missing, foreign, of another version, truncated or damaged.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            return _read(file, path, layouts)
    except OSError as error:
        raise MapError(
            f"cannot read the map {path}: {error.strerror}; build one with "
            f"'ros2 run floppynet_vpr build_map SOURCE --output {path}'"
        ) from None


def _read(file: BinaryIO, path: Path, layouts: Mapping[str, Mapping[str, int]]) -> MapContent:
    header = file.read(_HEADER_BYTES)
    if header[: len(MAGIC)] != MAGIC:
        raise MapError(f"{path} is not a map of floppynet_vpr: give a file made by build_map")
    actual = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER_BYTES:
        raise MapError(f"{path} is cut off after {actual} bytes: copy or build it again")
    _, version, text_bytes, table_bytes = _HEAD.unpack_from(header)
    if version != VERSION:
        raise MapError(
            f"{path} has map format {version}, this release reads format {VERSION}: "
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
    return _content(text, file, table_bytes, path, layouts)


def _to_json(content: MapContent) -> bytes:
    places = content.places
    facts = {
        "network": content.network,
        "fingerprint": content.fingerprint,
        "storage": content.storage,
        "dimension": DESCRIPTOR_SIZE,
        "tables": {name: rows[0].shape[1] for name, rows in content.tables.items() if rows},
        "names": [place.name for place in places],
        "stamps_ns": [place.stamp_ns for place in places],
        "poses": [None if place.pose is None else astuple(place.pose) for place in places],
        "calibrations": [asdict(calibration) for calibration in content.calibrations],
    }
    if any(place.session for place in places):
        facts["sessions"] = [place.session for place in places]
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


def _content(
    text: bytes,
    file: BinaryIO,
    table_bytes: int,
    path: Path,
    layouts: Mapping[str, Mapping[str, int]],
) -> MapContent:
    """Take the checked bytes apart, as a map of this package."""
    try:
        facts = _Facts(json.loads(text))
        network, fingerprint = facts.one("network", str), facts.one("fingerprint", str)
        storage, dimension = facts.one("storage", str), facts.one("dimension", int)
        places = _places(facts)
        calibrations = _calibrations(facts.get("calibrations"))
    except (ValueError, RecursionError) as error:
        raise MapError(f"{path} is not a sound map ({error}): build it again") from None
    if dimension != DESCRIPTOR_SIZE:
        raise MapError(
            f"{path} holds descriptors of {dimension} values, not {DESCRIPTOR_SIZE}: "
            "build the map again"
        )
    tables = layouts.get(storage)
    if tables is None:
        raise MapError(
            f"{path} keeps descriptors as '{storage}', which this release does not know: "
            "update floppynet_vpr or build the map again"
        )
    tables = {**tables, **_features(facts.get("tables"))}
    if (places and facts.get("tables") != tables) or table_bytes != len(places) * sum(
        tables.values()
    ):
        raise MapError(f"{path} is not a sound map (its tables do not fit): build it again")
    content = {
        name: [np.fromfile(file, np.uint8, len(places) * size).reshape(-1, size)]
        for name, size in tables.items()
    }
    return MapContent(network, fingerprint, storage, places, content, calibrations)


def _features(tables: Any) -> dict[str, int]:
    """The table that a map may have beside those of its storage, whose rows differ in size."""
    size = tables.get(FEATURES) if isinstance(tables, dict) else None
    try:
        return {FEATURES: size} if type(size) is int and slots_of(size) else {}
    except VprError:
        return {}


class _Facts:
    """The JSON object of a map, each value asked for with its type; ValueError otherwise."""

    def __init__(self, facts: Any) -> None:
        if not isinstance(facts, dict):
            raise ValueError("no facts")
        self._facts = facts

    def get(self, key: str) -> Any:
        """Look at a value of any type, None where there is none."""
        return self._facts.get(key)

    def one(self, key: str, kind: type) -> Any:
        """Give the value of `key`."""
        return _typed(self.get(key), kind, key)

    def many(self, key: str, kind: type) -> list[Any]:
        """Give the list of `key`, of values of one type."""
        return [_typed(value, kind, key) for value in self.one(key, list)]


def _typed(value: Any, kind: type, key: str) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{key} is wrong")
    return value


def _places(facts: _Facts) -> list[Place]:
    names, stamps = facts.many("names", str), facts.many("stamps_ns", int)
    poses = facts.one("poses", list)
    sessions = [""] * len(names) if facts.get("sessions") is None else facts.many("sessions", str)
    if not len(names) == len(stamps) == len(poses) == len(sessions):
        raise ValueError("names, stamps, poses and sessions are not equally many")
    return [
        Place(index, name, stamp, _pose(pose), session)
        for index, (name, stamp, pose, session) in enumerate(
            zip(names, stamps, poses, sessions, strict=True)
        )
    ]


def _pose(values: Any) -> Pose | None:
    if values is None:
        return None
    if len(_typed(values, list, "poses")) != 7:
        raise ValueError("poses is wrong")
    if not all(type(value) in (int, float) for value in values):
        raise ValueError("poses is wrong")
    return Pose(*values)


def _calibrations(values: Any) -> list[Calibration]:
    try:
        return [
            Calibration(
                **{**value, "levels": tuple(value["levels"]), "shares": tuple(value["shares"])}
            )
            for value in values or ()
        ]
    except (TypeError, KeyError):
        raise ValueError("calibrations is wrong") from None
