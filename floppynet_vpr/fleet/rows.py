# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places as rows of the database, read and written in PostgreSQL's binary formats.

All columns but the name have a fixed size, so many rows are one numpy array of records, and the
server is asked for many places in one value: that is what lets a robot start with a large map in a
moment. Written they are with COPY:

    the stream: signature, flags, size of an extension (19 bytes), rows, int16 -1
    a row:      int16 number of columns, and of each column int32 size, value, big-endian
    bit(n):     int32 n, then the bits, most significant first
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import Place, Pose
from floppynet_vpr.mapping.grid import POOL5
from floppynet_vpr.mapping.map_content import POSE_VALUES
from floppynet_vpr.mapping.places import Session, place_id
from floppynet_vpr.text import shown

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
FIXED = ("session", "number", "stamp_ns", *POSE, "signs", "numbers", "rest")
"""The columns of fixed size, in the order of a row; the name follows."""

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
_PIECE_PLACES = 1024
_AT_ONCE = 64
_NOWHERE = (float("nan"),) * POSE_VALUES


@dataclass(frozen=True)
class PlaceRows:
    """Places, n of them: records of `record_type`, and names."""

    records: NDArray[np.void]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Rows of the table of bits, (n, 1296) uint8."""
        return self.records["code"]

    @property
    def rest(self) -> NDArray[np.uint8]:
        """Rows of the other tables, one after the other."""
        return self.records["rest"]

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
    """The layout of a place, but for its name: values as PostgreSQL sends them."""
    poses: list[Any] = [(name, ">f8") for name in POSE]
    return np.dtype(
        [
            ("session", ">i8"),
            ("number", ">i4"),
            ("stamp_ns", ">i8"),
            *poses,
            ("bits", ">i4"),
            ("code", "u1", (POOL5.row_bytes,)),
            ("rest", "u1", (rest_bytes,)),
        ]
    )


def make_rows(
    places: Sequence[Place], codes: NDArray[np.uint8], rest: NDArray[np.uint8]
) -> PlaceRows:
    """Make rows of n places, their (n, 1296) uint8 bits and their rows of other tables."""
    records = np.zeros(len(places), record_type(rest.shape[1]))
    records["session"] = [place.session.uid for place in places]
    records["number"] = [place.number for place in places]
    records["stamp_ns"] = [place.stamp_ns for place in places]
    poses = [astuple(place.pose) if place.pose else _NOWHERE for place in places]
    for name, column in zip(POSE, np.array(poses, float).reshape(-1, POSE_VALUES).T, strict=True):
        records[name] = column
    records["bits"], records["code"], records["rest"] = 8 * POOL5.code_bytes, codes, rest
    return PlaceRows(records, [place.name for place in places])


def shown_name(name: str) -> str:
    """A name as the database can keep it."""
    return shown(name).replace("\0", "\\x00")


def to_copy(rows: PlaceRows) -> Iterator[bytes]:
    """Give the stream for COPY ... FROM STDIN: the columns `FIXED`, then the name."""
    records = _with_sizes(rows.records)
    names = [shown_name(name).encode() for name in rows.names]
    yield _HEAD
    for first in range(0, len(records), _AT_ONCE):
        piece = slice(first, first + _AT_ONCE)
        yield b"".join(
            part
            for record, name in zip(records[piece], names[piece], strict=True)
            for part in (record.tobytes(), struct.pack(">i", len(name)), name)
        )
    yield _TAIL


def _with_sizes(records: NDArray[np.void]) -> NDArray[np.void]:
    """Put the number of columns and their sizes between the values."""
    rest_bytes = records.dtype["rest"].itemsize
    sizes = {**{name: records.dtype[name].itemsize for name in FIXED[:-3]}}
    fields: list[Any] = [("columns", ">i2")]
    for name in sizes:
        fields += [(f"{name} size", ">i4"), (name, records.dtype[name])]
    sizes.update(
        {
            "signs": 4 + POOL5.code_bytes,
            "numbers": POOL5.row_bytes - POOL5.code_bytes,
            "rest": rest_bytes,
        }
    )
    fields += [("signs size", ">i4"), ("bits", ">i4"), ("signs", "u1", (POOL5.code_bytes,))]
    for name in ("numbers", "rest"):
        fields += [(f"{name} size", ">i4"), (name, "u1", (sizes[name],))]
    sized = np.zeros(len(records), fields)
    for name, size in sizes.items():
        sized[f"{name} size"] = size
    for name in (*FIXED[:-3], "bits", "rest"):
        sized[name] = records[name]
    codes = records["code"]
    sized["columns"] = len(FIXED) + 1
    sized["signs"], sized["numbers"] = codes[:, : POOL5.code_bytes], codes[:, POOL5.code_bytes :]
    return sized


def read_query(rows: str) -> str:
    """Write a query that gives places in few, large pieces, for `from_pieces`.

    `rows` is what stands after FROM, with columns had_order, a session's turn, and those of places.
    """
    values = [f"float8send({name})" for name in POSE]
    values = ["int8send(session)", "int4send(number)", "int8send(stamp_ns)", *values]
    values += ["bit_send(signs)", "numbers", "rest"]
    return (
        f"SELECT string_agg({' || '.join(values)}, ''::bytea ORDER BY number), "
        f"json_agg(name ORDER BY number)::text FROM {rows} "
        f"GROUP BY had_order, number / {_PIECE_PLACES} ORDER BY had_order, min(number)"
    )


def from_pieces(pieces: Iterable[tuple[bytes, str]], rest_bytes: int) -> PlaceRows:
    """Read what `read_query` gives; ValueError where it is something else."""
    kind = record_type(rest_bytes)
    names: list[str] = []
    text = bytearray()
    for rows, some in pieces:
        text += rows
        names += json.loads(some)
    if len(text) != len(names) * kind.itemsize:
        raise ValueError("rows of another size")
    records = np.frombuffer(text, kind)
    if (records["bits"] != 8 * POOL5.code_bytes).any():
        raise ValueError("rows of another kind")
    return PlaceRows(records, names)
