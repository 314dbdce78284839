# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""GPS positions of frames, and which of them are within so many metres of each other.

Metres are those of the geodesic on the WGS 84 ellipsoid.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.stamps import SECOND_NS

_LATITUDE: Final = ("latitude", "lat")
_LONGITUDE: Final = ("longitude", "lon", "lng", "long")
_NAME: Final = ("name", "file", "filename", "image", "image_name", "key")
_EARTH_RADIUS_M: Final = 6_371_008.8
# The sphere of that radius is nowhere more than 0.6 % off the ellipsoid.
_SPHERE_ERROR: Final = 0.01


def within_metres(
    queries: NDArray[np.float64], references: NDArray[np.float64], metres: float
) -> NDArray[np.bool_]:
    """Which pairs lie within `metres` of each other, the limit included: (queries, references).

    Positions are (n, 2): latitude and longitude in degrees. Whatever a sphere cannot decide is
    decided by the geodesic (Karney's algorithm, a few nanometres).
    """
    on_sphere = _sphere_metres(queries, references)
    near = on_sphere <= metres * (1 - _SPHERE_ERROR)
    doubtful = ~near & (on_sphere <= metres * (1 + _SPHERE_ERROR) + 1e-3)
    for query, reference in np.argwhere(doubtful):
        near[query, reference] = geodesic_metres(queries[query], references[reference]) <= metres
    return near


def geodesic_metres(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The shortest way between two positions on WGS 84; (2,) latitude, longitude in degrees."""
    from geographiclib.geodesic import Geodesic

    line = Geodesic.WGS84.Inverse(
        float(one[0]), float(one[1]), float(other[0]), float(other[1]), Geodesic.DISTANCE
    )
    return float(line["s12"])


def read_positions(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Read the positions of the frames called `names` from a CSV file, (n, 2) degrees.

    The first line names the columns: latitude and longitude (or lat, lon), and, if lines are to be
    found by the frames' names and not by their order, a column name (or file, image). Names are
    compared without their suffix. Raises VprError where columns or frames are missing, or a value
    is no position.
    """
    header, rows = _read_rows(path)
    latitude, longitude = _column(header, _LATITUDE), _column(header, _LONGITUDE)
    if latitude is None or longitude is None:
        raise VprError(f"{path} needs a first line that names the columns latitude and longitude")
    values = _numbers(path, rows, (latitude, longitude), "latitude and longitude")
    for number, position in enumerate(values, 2):
        if not (abs(position[0]) <= 90 and abs(position[1]) <= 360):
            raise VprError(f"{path}, line {number}: {position} is no latitude and longitude")
    return _of_frames(path, header, rows, values, names)


def read_metres(path: Path, names: Sequence[str]) -> NDArray[np.float64] | None:
    """Read positions in metres, (n, 1 to 3): like `read_positions`, but of the columns x, y, z.

    x alone will do, for positions along a route. None where the first line names no x.
    """
    header, rows = _read_rows(path)
    columns = [header.index(axis) for axis in ("x", "y", "z") if axis in header]
    if "x" not in header:
        return None
    return _of_frames(path, header, rows, _numbers(path, rows, columns, "position"), names)


def _numbers(
    path: Path, rows: Sequence[Sequence[str]], columns: Sequence[int], what: str
) -> list[tuple[float, ...]]:
    values = []
    for number, row in enumerate(rows, 2):
        try:
            values.append(tuple(float(row[column]) for column in columns))
        except (IndexError, ValueError):
            raise VprError(f"{path}, line {number}: no {what} in {row}") from None
    return values


def _of_frames(
    path: Path,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    values: Sequence[tuple[float, ...]],
    names: Sequence[str],
) -> NDArray[np.float64]:
    """The values of the frames called `names`: by name if there is such a column, else in order."""
    name = _column(header, _NAME)
    if name is None:
        if len(values) != len(names):
            raise VprError(
                f"{path} has {len(values)} positions for {len(names)} frames: it needs one for "
                "each, or a column `name`"
            )
        return np.array(values, np.float64).reshape(len(names), -1)
    by_name = {Path(row[name].strip()).stem: p for row, p in zip(rows, values, strict=True)}
    missing = [frame for frame in names if Path(frame).stem not in by_name]
    if missing:
        raise VprError(
            f"{path} has no position for {len(missing)} of {len(names)} frames, such as "
            f"{missing[0]}"
        )
    found = [by_name[Path(frame).stem] for frame in names]
    return np.array(found, np.float64).reshape(len(names), -1)


def positions_at(
    fixes: Sequence[tuple[int, float, float]], stamps_ns: Sequence[int], where: str
) -> NDArray[np.float64]:
    """The positions at these times, (n, 2) degrees: of the fix nearest in time.

    `fixes` are stamp in nanoseconds, latitude and longitude, ascending. Raises VprError, naming
    `where`, for a frame without a fix within a second.
    """
    times = np.array([fix[0] for fix in fixes], np.int64)
    asked = np.array(stamps_ns, np.int64)
    after = np.clip(np.searchsorted(times, asked), 1, max(len(times) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    nearest = np.where(asked - times[before] <= times[after] - asked, before, after)
    late = np.abs(times[nearest] - asked) > SECOND_NS
    if late.any():
        raise VprError(
            f"{where}: {int(late.sum())} of {len(asked)} images have no GPS fix within a second"
        )
    return np.array([fixes[index][1:] for index in nearest], np.float64).reshape(-1, 2)


def _read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns in the first line, in small letters, and the other lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
            return [cell.strip().casefold() for cell in rows[0]] if rows else [], rows[1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VprError(f"cannot read the positions in {path}: {error}") from error


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _sphere_metres(
    queries: NDArray[np.float64], references: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Great-circle distances (haversine formula), (queries, references)."""
    lat_1, lon_1 = np.radians(queries).T[:, :, None]
    lat_2, lon_2 = np.radians(references).T[:, None, :]
    half = (
        np.sin((lat_2 - lat_1) / 2) ** 2
        + np.cos(lat_1) * np.cos(lat_2) * np.sin((lon_2 - lon_1) / 2) ** 2
    )
    return np.asarray(2 * _EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(half, 0, 1))))
