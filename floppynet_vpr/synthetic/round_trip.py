# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Laps around a block without a stop, with the truth and with an odometry that drifts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from math import radians
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bags import WrittenBag, write_bag
from floppynet_vpr.datasets.depth_topics import DepthRecording
from floppynet_vpr.datasets.frames import Frame, stamp_of
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.synthetic.camera import CameraPose
from floppynet_vpr.synthetic.light import DAY, DUSK, RAIN
from floppynet_vpr.synthetic.route import Lap, SyntheticRoute

ODOMETRY_TOPIC: Final = "/odom"
TRUTH_TOPIC: Final = "/ground_truth"

LAPS: Final = (
    Lap("by_day", DAY, left_m=0.5),
    Lap("at_dusk", DUSK, left_m=-0.5, yaw_deg=-1.0, sway_m=0.2, cars_moved=0.6),
    Lap("in_rain", RAIN, left_m=0.2, yaw_deg=1.0, sway_m=0.2, cars_moved=0.3),
)
"""Once by day, once at dusk, once in rain, each in another lane and with other cars parked."""

_OPTICAL: Final = (-0.5, 0.5, -0.5, 0.5)
"""The optical frame on a camera that looks ahead, as a quaternion (REP 103)."""

_CHANGE_M = 12.0
"""On so many metres at the beginning of a lap, the camera moves over to its lane."""


@dataclass(frozen=True)
class Drift:
    """How wrong odometry is.

    `scale`: how much too long it takes each way; `turn_deg`: degrees to the left that it adds on
    each metre. Beside this both err by chance from step to step, with a standard deviation as
    large; `seed` draws it.
    """

    scale: float = 0.02
    turn_deg: float = 0.1
    seed: int = 1


class RoundTrip:
    """A drive of several laps around one block, a frame for each step of a lap.

    Poses are rows x, y, z, qx, qy, qz, qw, (n, 7) float64: of the robot on the road below its
    camera, x forward (REP 103).
    """

    def __init__(self, route: SyntheticRoute, laps: tuple[Lap, ...] = LAPS) -> None:
        self.route = route
        self.laps = laps
        self._cameras = list(self._drive())

    def __len__(self) -> int:
        return sum(map(len, self._cameras))

    def along_m(self) -> NDArray[np.float64]:
        """Where around the block each frame is taken, metres from its beginning, (n,) float64."""
        return np.concatenate([self.route.positions_m(lap) for lap in self.laps])

    def truth(self) -> NDArray[np.float64]:
        """The poses as they are, (n, 7)."""
        return _rows(np.array([[c.x, c.y, c.yaw] for lap in self._cameras for c in lap]))

    def odometry(self, drift: Drift | None = None) -> NDArray[np.float64]:
        """The poses as wheels would tell them, beginning at the truth, (n, 7)."""
        drift = drift or Drift()
        rng = np.random.default_rng([drift.seed, 1])
        way = np.array([[c.x, c.y, c.yaw] for lap in self._cameras for c in lap])
        told = way.copy()
        for here in range(1, len(way)):
            moved, turn = way[here, :2] - way[here - 1, :2], way[here, 2] - way[here - 1, 2]
            metres = float(np.hypot(*moved))
            scale, chance = drift.scale * (1 + rng.normal()), 1 + rng.normal()
            before = told[here - 1, 2]
            told[here, :2] = told[here - 1, :2] + (1 + scale) * _turned(
                moved, before - way[here - 1, 2]
            )
            told[here, 2] = before + turn + radians(drift.turn_deg) * metres * chance
        return _rows(told)

    def frames(self) -> Iterator[Frame]:
        """The frames in order, (height, width, 3) uint8 RGB, their stamps going on."""
        index = 0
        for lap, cameras in zip(self.laps, self._cameras, strict=True):
            for frame in self.route.frames_from(lap, cameras):
                yield replace(frame, stamp_ns=stamp_of(index, self.laps[0].rate_hz))
                index += 1

    def depth_recording(self) -> DepthRecording:
        """What a bag of the trip has of a camera with depth; every lap has its camera's height."""
        lens = self.route.camera
        camera = CameraModel(lens.width, lens.height, lens.intrinsics, np.empty(0))
        depths = chain.from_iterable(
            self.route.depths_from(lap, cameras)
            for lap, cameras in zip(self.laps, self._cameras, strict=True)
        )
        return DepthRecording(camera, depths, (0.0, 0.0, self.laps[0].camera_m, *_OPTICAL))

    def _drive(self) -> Iterator[list[CameraPose]]:
        left = self.laps[0].left_m
        for lap in self.laps:
            along = self.route.positions_m(lap)
            share = np.clip(along / _CHANGE_M, 0, 1)
            lane = left + (lap.left_m - left) * share**2 * (3 - 2 * share)
            yield self.route.poses(lap, lane)
            left = lap.left_m


def write_round_trip(trip: RoundTrip, out: Path, *, depth: bool = False) -> WrittenBag:
    """Write a round trip as a bag: images, odometry and truth; raises VprError as `write_bag`.

    With `depth` also what a camera with depth gives: depth, CameraInfo, and tf_static, which tells
    where the camera is on the robot.
    """
    return write_bag(
        trip.frames(),
        out,
        encoding="jpeg",
        poses={ODOMETRY_TOPIC: trip.odometry(), TRUTH_TOPIC: trip.truth()},
        depth=trip.depth_recording() if depth else None,
    )


def _turned(vector: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1]])


def _rows(way: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (n, 7) of positions and headings (n, 3) on the plane."""
    rows = np.zeros((len(way), 7))
    rows[:, :2] = way[:, :2]
    rows[:, 5], rows[:, 6] = np.sin(way[:, 2] / 2), np.cos(way[:, 2] / 2)
    return rows
