# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A way through space: stamped poses, as a TUM file, asked for a pose, held against the truth."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import write_atomically
from floppynet_vpr.graph.se3 import Transform, interpolate
from floppynet_vpr.stamps import SECOND_NS


@dataclass(frozen=True)
class Trajectory:
    """Poses in the order of their stamps (nanoseconds), no stamp twice."""

    stamps_ns: tuple[int, ...]
    poses: tuple[Transform, ...]

    @classmethod
    def of(cls, stamped: Iterable[tuple[int, Transform]]) -> Trajectory:
        """Sort stamped poses; of those with the same stamp the last counts."""
        ordered = sorted(dict(stamped).items(), key=lambda item: item[0])
        return cls(tuple(stamp for stamp, _ in ordered), tuple(pose for _, pose in ordered))

    def __len__(self) -> int:
        return len(self.poses)

    def at(self, stamp_ns: int, tolerance: float) -> Transform | None:
        """Find the pose at a stamp, None without a pose within `tolerance` seconds of it.

        Between two poses that both are, it is interpolated; else it is the nearer one.
        """
        after = bisect_left(self.stamps_ns, stamp_ns)
        near = [
            index
            for index in (after - 1, after)
            if 0 <= index < len(self)
            and abs(self.stamps_ns[index] - stamp_ns) <= tolerance * SECOND_NS
        ]
        if len(near) < 2:
            return self.poses[near[0]] if near else None
        first, second = (self.stamps_ns[index] for index in near)
        share = (stamp_ns - first) / (second - first)
        return interpolate(self.poses[near[0]], self.poses[near[1]], share)


def write_tum(path: Path, trajectory: Trajectory) -> None:
    """Write `seconds x y z qx qy qz qw`, one line a pose, atomically, to the last digit.

    Raises VprError when the disk does not take it.
    """
    lines = (
        f"{stamp // SECOND_NS}.{stamp % SECOND_NS:09} {' '.join(map(repr, pose.values))}\n"
        for stamp, pose in zip(trajectory.stamps_ns, trajectory.poses, strict=True)
    )
    write_atomically(path, ("".join(lines).encode(),))


def read_tum(path: Path) -> Trajectory:
    """Read a TUM trajectory; raises VprError naming the file and line where it is none."""
    stamped = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VprError(f"cannot read the trajectory {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            stamp, *words = line.split()
            stamped.append((_stamp_ns(stamp), Transform.of([float(word) for word in words])))
        except (VprError, ValueError) as error:
            raise VprError(
                f"{path}, line {number}, is not `seconds x y z qx qy qz qw`: {error}"
            ) from None
    return Trajectory.of(stamped)


def _stamp_ns(text: str) -> int:
    """Read seconds without a detour by float64, which would lose the last digits."""
    plain = re.fullmatch(r"(\d+)(?:\.(\d*))?", text)
    if plain is None:  # an exponent, a sign: as other programs write it
        return round(float(text) * SECOND_NS)
    return int(plain[1]) * SECOND_NS + int((plain[2] or "0").ljust(9, "0")[:9])


def absolute_error(poses: Sequence[Transform], truth: Sequence[Transform]) -> float:
    """The absolute trajectory error in metres: root mean square distance after alignment.

    The poses are moved and turned as a whole, not scaled, to where they fit the truth best
    (Umeyama 1991). Raises VprError for fewer than three poses, or where the counts differ.
    """
    if len(poses) != len(truth) or len(poses) < 3:
        raise VprError(
            f"an error takes three poses and the truth of each: {len(poses)} and {len(truth)}"
        )
    rotation, shift = alignment(poses, truth)
    apart = positions_of(poses) @ rotation.T + shift - positions_of(truth)
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


def alignment(
    poses: Sequence[Transform], truth: Sequence[Transform]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rotation (3, 3) and then the shift (3,) that lay poses onto the truth best."""
    positions, wanted = positions_of(poses), positions_of(truth)
    middle, wanted_middle = positions.mean(axis=0), wanted.mean(axis=0)
    left, _, right = np.linalg.svd((wanted - wanted_middle).T @ (positions - middle))
    mirror = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotation = np.asarray(left @ np.diag([1.0, 1.0, mirror]) @ right, np.float64)
    return rotation, wanted_middle - rotation @ middle


def positions_of(poses: Sequence[Transform]) -> NDArray[np.float64]:
    """The positions (n, 3) float64 of poses, metres."""
    return np.array([pose.values[:3] for pose in poses])
