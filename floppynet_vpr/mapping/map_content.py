# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a map file holds, of whatever version, and how it is checked while it is read."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.local_features import slots_of
from floppynet_vpr.mapping.calibration import Calibration
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.places import Place, Pose
from floppynet_vpr.mapping.session_means import SessionContent

FEATURES = "features"
"""The table of local features, which not every map has."""

POINTS = "points"
"""The table of the points of local features, which a map has where depth was known."""

POSE_VALUES = 7

THUMBNAILS = "thumbnails"
"""The table of thumbnails, which not every map has."""


class StoredRows:
    """Rows of a table that stay in their file, read when asked for.

    The file stays open, so that another one may take its name. Where somebody shortens or
    overwrites it, rows are zero or other bytes; nothing else breaks, as it would were it mapped
    into memory.
    """

    def __init__(self, handle: int, start: int, rows: int, row_bytes: int) -> None:
        """Keep an open file of one's own, whose byte `start` begins the first row."""
        self._handle = _Handle(handle)
        self._start = start
        self.shape = rows, row_bytes

    def __len__(self) -> int:
        """Count the rows."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.shape[0] * self.shape[1]

    def part(self, first: int, end: int) -> StoredRows:
        """Give the rows `first` to before `end`, which are not read yet."""
        part = copy(self)
        part._start = self._start + first * self.shape[1]
        part.shape = min(end, len(self)) - first, self.shape[1]
        return part

    def read(self, first: int, end: int) -> NDArray[np.uint8]:
        """Read the rows `first` to before `end`, (n, row_bytes) uint8."""
        size = (end - first) * self.shape[1]
        found = os.pread(self._handle.number, size, self._start + first * self.shape[1])
        return np.frombuffer(found.ljust(size, b"\0"), np.uint8).reshape(-1, self.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
        """Read all rows."""
        return self.read(0, len(self))


class _Handle:
    """An open file, closed when nobody has it any more."""

    def __init__(self, number: int) -> None:
        self.number = number
        weakref.finalize(self, os.close, number)


Table = Sequence[NDArray[np.uint8]]
"""Rows of equal length, (n, row_bytes) uint8 each, to be taken one array after the other."""


class MapError(VprError):
    """A map that cannot be read, written or used."""


@dataclass(frozen=True)
class MapContent:
    """Everything a map file holds.

    `tables` are those of the places' bits, descriptors and local features, a row for each place;
    `sessions` are in the order of their places. `services`, (places,) uint64, tells when each place
    last served (`looks.Services`); None: the order of the places says all. `thumbnails` are rows
    for each place, too, which a file keeps to itself until asked; None: no place has one.
    """

    network: str
    fingerprint: str
    grid: Grid
    storage: str
    places: Sequence[Place]
    sessions: Sequence[SessionContent]
    tables: Mapping[str, Table]
    calibrations: Sequence[Calibration] = ()
    services: NDArray[np.uint64] | None = None
    thumbnails: Sequence[NDArray[np.uint8] | StoredRows] | None = None


class TableSource:
    """The bytes of the tables, taken one after the other."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def take(self, rows: int, row_bytes: int) -> NDArray[np.uint8]:
        """Read the next table, (rows, row_bytes); ValueError where there is not so much."""
        self._count(rows * row_bytes)
        return np.fromfile(self._file, np.uint8, rows * row_bytes).reshape(rows, row_bytes)

    def leave(self, rows: int, row_bytes: int) -> StoredRows:
        """Leave the next table in the file; ValueError where there is not so much."""
        self._count(rows * row_bytes)
        start = self._file.tell()
        self._file.seek(rows * row_bytes, os.SEEK_CUR)
        return StoredRows(os.dup(self._file.fileno()), start, rows, row_bytes)

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("its tables do not fit")

    def end(self) -> None:
        """Check that nothing is left."""
        if self._left:
            raise ValueError("its tables do not fit")


def first_places(places: Sequence[Place]) -> Iterator[tuple[Place, int]]:
    """The first place of each session, and how many it has."""
    for _, group in groupby(places, lambda place: place.session.uid):
        members = list(group)
        yield members[0], len(members)


class Facts:
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
        return typed(self.get(key), kind, key)

    def many(self, key: str, kind: type) -> list[Any]:
        """Give the list of `key`, of values of one type."""
        return [typed(value, kind, key) for value in self.one(key, list)]


def typed(value: Any, kind: type, key: str) -> Any:
    """Give back a value of this very type; ValueError for another."""
    if type(value) is not kind:
        raise ValueError(f"{key} is wrong")
    return value


def pose_of(values: list[Any]) -> Pose | None:
    """Make a pose of 7 numbers, None where one is not a number; ValueError for anything else."""
    if len(values) != POSE_VALUES or not all(type(value) in (int, float) for value in values):
        raise ValueError("poses is wrong")
    if any(value != value for value in values):
        return None
    return Pose(*values)


def calibrations_of(values: Any) -> list[Calibration]:
    """Make calibrations of their JSON; ValueError where they are none."""
    try:
        return [
            Calibration(
                **{**value, "levels": tuple(value["levels"]), "shares": tuple(value["shares"])}
            )
            for value in values or ()
        ]
    except (TypeError, KeyError):
        raise ValueError("calibrations is wrong") from None


def are_features(row_bytes: Any) -> bool:
    """Tell whether rows of so many bytes can be local features."""
    try:
        return type(row_bytes) is int and slots_of(row_bytes) > 0
    except VprError:
        return False
