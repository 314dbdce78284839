# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places as rows of the database, in PostgreSQL's binary COPY format.

All columns but the name have a fixed size, so many rows are one numpy array of records: that is
what lets a robot start with a large map in a moment.

    the stream: signature, flags, size of an extension (19 bytes), rows, int16 -1
    a row:      int16 number of columns, and of each column int32 size, value, big-endian
    bit(n):     int32 n, then the bits, most significant first
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import Place, Pose
from floppynet_vpr.mapping.cells import CODE_BYTES, ROW_BYTES
from floppynet_vpr.mapping.map_content import POSE_VALUES
from floppynet_vpr.mapping.places import Session, place_id
from floppynet_vpr.text import shown

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
FIXED = ("session", "number", "stamp_ns", *POSE, "signs", "numbers", "rest")
"""The columns of fixed size, in the order of a row; the name follows."""

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
_NUMBER_BYTES = ROW_BYTES - CODE_BYTES
_NOWHERE = (float("nan"),) * POSE_VALUES


@dataclass(frozen=True)
class PlaceRows:
    """Places, n of them: records of the columns `FIXED`, and names."""

    records: NDArray[np.void]
    names: Sequence[str]

    def __len__(self) -> int:
        """Count the places."""
        return len(self.records)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Rows of the table of bits, (n, 1296) uint8."""
        return np.concatenate([self.records["signs"], self.records["numbers"]], axis=1)

    @property
    def rest(self) -> NDArray[np.uint8]:
        """Rows of the other tables, one after the other."""
        return np.ascontiguousarray(self.records["rest"])

    def places(self, sessions: dict[int, Session]) -> list[Place]:
        """Make places of them; `sessions` by their numbers."""
        records = self.records
        poses = np.stack([records[name] for name in POSE], axis=1).tolist()
        return [
            Place(
                place_id(sessions[session], number),
                name,
                stamp,
                sessions[session],
                Pose(*pose) if pose[0] == pose[0] else None,
            )
            for session, number, stamp, pose, name in zip(
                records["session"].tolist(),
                records["number"].tolist(),
                records["stamp_ns"].tolist(),
                poses,
                self.names,
                strict=True,
            )
        ]


def record_type(rest_bytes: int) -> np.dtype[np.void]:
    """The layout of a row, but for its name; the sizes of its columns are named size_0 and on."""
    kinds: list[Any] = [(">i8", 8), (">i4", 4), (">i8", 8), *[(">f8", 8)] * POSE_VALUES]
    fields: list[Any] = [("columns", ">i2")]
    for index, (kind, _) in enumerate(kinds):
        fields += [(f"size_{index}", ">i4"), (FIXED[index], kind)]
    fields += [
        (f"size_{len(kinds)}", ">i4"),
        ("bits", ">i4"),
        ("signs", "u1", (CODE_BYTES,)),
        (f"size_{len(kinds) + 1}", ">i4"),
        ("numbers", "u1", (_NUMBER_BYTES,)),
        (f"size_{len(kinds) + 2}", ">i4"),
        ("rest", "u1", (rest_bytes,)),
    ]
    return np.dtype(fields)


def _constants(rest_bytes: int) -> dict[str, int]:
    """What stands in the fields of a row that are the same in all."""
    sizes = [8, 4, 8, *[8] * POSE_VALUES, 4 + CODE_BYTES, _NUMBER_BYTES, rest_bytes]
    return {"bits": 8 * CODE_BYTES, **{f"size_{index}": size for index, size in enumerate(sizes)}}


def make_rows(
    places: Sequence[Place], codes: NDArray[np.uint8], rest: NDArray[np.uint8]
) -> PlaceRows:
    """Make rows of n places, their (n, 1296) uint8 bits and their rows of other tables."""
    records = np.zeros(len(places), record_type(rest.shape[1]))
    records["columns"] = len(FIXED) + 1
    for name, value in _constants(rest.shape[1]).items():
        records[name] = value
    records["session"] = [place.session.uid for place in places]
    records["number"] = [place.number for place in places]
    records["stamp_ns"] = [place.stamp_ns for place in places]
    poses = [astuple(place.pose) if place.pose else _NOWHERE for place in places]
    for name, column in zip(POSE, np.array(poses, float).reshape(-1, POSE_VALUES).T, strict=True):
        records[name] = column
    records["signs"], records["numbers"] = codes[:, :CODE_BYTES], codes[:, CODE_BYTES:]
    records["rest"] = rest
    return PlaceRows(records, [place.name for place in places])


def join_rows(parts: Sequence[PlaceRows], rest_bytes: int) -> PlaceRows:
    """Put rows one after the other."""
    empty = np.zeros(0, record_type(rest_bytes))
    records = np.concatenate([empty, *(part.records for part in parts)])
    return PlaceRows(records, [name for part in parts for name in part.names])


def to_copy(rows: PlaceRows) -> Iterator[bytes]:
    """Give the stream for COPY ... FROM STDIN: the columns `FIXED`, then the name."""
    yield _HEAD
    for record, name in zip(rows.records, rows.names, strict=True):
        text = shown(name).replace("\0", "\\x00").encode()
        yield record.tobytes() + struct.pack(">i", len(text)) + text
    yield _TAIL


def from_copy(
    stream: Iterable[bytes | bytearray | memoryview], rest_bytes: int
) -> NDArray[np.void]:
    """Read the stream of COPY (SELECT `FIXED`) TO STDOUT; ValueError where it is another."""
    body = _body(stream)
    kind = record_type(rest_bytes)
    if len(body) % kind.itemsize:
        raise ValueError("rows of another size")
    records = np.frombuffer(body, kind)
    wanted = {"columns": len(FIXED), **_constants(rest_bytes)}
    if any((records[name] != value).any() for name, value in wanted.items()):
        raise ValueError("rows of another kind")
    return records


def names_from_copy(stream: Iterable[bytes | bytearray | memoryview]) -> list[str]:
    """Read the stream of COPY (SELECT name) TO STDOUT."""
    body = _body(stream)
    names = []
    at = 0
    while at < len(body):
        (size,) = struct.unpack_from(">i", body, at + 2)
        at += 6 + size
        names.append(body[at - size : at].decode())
    return names


def _body(stream: Iterable[bytes | bytearray | memoryview]) -> bytearray:
    """What is between head and tail."""
    text = bytearray()
    for piece in stream:
        text += piece
    if not text.startswith(_HEAD) or not text.endswith(_TAIL):
        raise ValueError("no binary COPY of this kind")
    del text[-len(_TAIL) :], text[: len(_HEAD)]
    return text
