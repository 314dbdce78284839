# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A street that never was, to be driven again and again: real perspective, known places.

It lets anybody try loop closure without any data: the first lap makes the map, the second one
(another lane, another light, other cars, another speed) asks. Houses, signs and trees are the
same ones, seen from elsewhere, so the match has really to be done; the truth is the distance
along the street.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.frames import Frame, stamp_of
from floppynet_vpr.errors import VprError
from floppynet_vpr.synthetic.camera import CameraPose, PinholeCamera
from floppynet_vpr.synthetic.centerline import Centerline
from floppynet_vpr.synthetic.depth_renderer import render_depth
from floppynet_vpr.synthetic.furniture import FurnitureBuilder
from floppynet_vpr.synthetic.ground import SEGMENT_M, lay_ground
from floppynet_vpr.synthetic.houses import HouseBuilder
from floppynet_vpr.synthetic.layout import Building, join_ends, lay_out_street, park_cars
from floppynet_vpr.synthetic.light import DAY, DUSK, SPAN_RAD, Light, Sensor, paint_sky
from floppynet_vpr.synthetic.renderer import BEHIND_M, VIEW_M, StreetRenderer
from floppynet_vpr.synthetic.surfaces import Scene, Surface


@dataclass(frozen=True)
class Lap:
    """How the street is driven once.

    `start_m`: where the first frame is taken; `step_m`: metres between frames; `left_m`: lane,
    metres to the left of the middle of the road; `yaw_deg`: how far the camera is turned to the
    left; `sway_m`, `sway_deg`: how much lane and heading wander; `camera_m`: height over the
    road; `cars_moved`: share (0 to 1) of the parking spots that have changed since the first lap.
    """

    name: str
    light: Light
    start_m: float = 0.0
    step_m: float = 1.0
    left_m: float = 0.0
    yaw_deg: float = 0.0
    sway_m: float = 0.1
    sway_deg: float = 0.4
    camera_m: float = 1.5
    cars_moved: float = 0.0
    rate_hz: float = 10.0


FIRST_LAP = Lap("lap_1", DAY, left_m=0.5)
"""By day, a little left of the middle, a frame a metre."""

SECOND_LAP = Lap(
    "lap_2", DUSK, start_m=3.4, step_m=1.13, left_m=-0.5, yaw_deg=-1.0, sway_m=0.2, cars_moved=0.6
)
"""At dusk, a metre farther right, faster, turned slightly to the right, with other cars parked."""


SHORTEST_BLOCK_M = 240.0
"""Around a smaller block, pavements would overlap in the corners."""


class SyntheticRoute:
    """One street, whose laps are at most `length_m` long; the seed decides everything.

    A closed one goes around a block, and ends where it began.
    """

    def __init__(
        self,
        seed: int = 7,
        length_m: float = 150.0,
        camera: PinholeCamera | None = None,
        *,
        closed: bool = False,
    ) -> None:
        """Lay out the street; nothing is painted before the first frame is asked for.

        Raises VprError for a block that is too small or not of whole segments of ground.
        """
        self.seed = seed
        self.length_m = length_m
        self.camera = camera or PinholeCamera()
        self.closed = closed
        if closed:
            if length_m < SHORTEST_BLOCK_M or length_m % SEGMENT_M:
                raise VprError(
                    f"a way around a block of {length_m:g} m cannot be: it takes a multiple of "
                    f"{SEGMENT_M:g} m from {SHORTEST_BLOCK_M:g} on"
                )
            self.layout = join_ends(lay_out_street(length_m, seed))
            self.line = Centerline.around_block(length_m)
        else:
            self.layout = lay_out_street(length_m + VIEW_M, seed)
            self.line = Centerline(length_m + VIEW_M)

    def positions_m(self, lap: Lap) -> NDArray[np.float64]:
        """The truth: metres along the street at which each frame of the lap is taken, (n,).

        Around a block a lap ends where it began.
        """
        if self.closed:
            return (lap.start_m + np.arange(0, self.length_m, lap.step_m)) % self.length_m
        return np.arange(lap.start_m, self.length_m, lap.step_m)

    def poses(self, lap: Lap, lane_m: NDArray[np.float64] | None = None) -> list[CameraPose]:
        """Where the camera is and looks at each frame of the lap, world axes.

        `lane_m`, (n,), puts each frame in a lane of its own instead of `lap.left_m`.
        """
        along = self.positions_m(lap)
        phase = np.random.default_rng([self.seed, 8, *lap.name.encode()]).uniform(0, 6.28, 2)
        lane = lap.left_m if lane_m is None else lane_m
        left = lane + lap.sway_m * np.sin(along / 9.0 + phase[0])
        turn = lap.yaw_deg + lap.sway_deg * np.sin(along / 6.0 + phase[1])
        ground = self.line.points(along, left)
        yaw = self.line.heading(along) + np.radians(turn)
        return [
            CameraPose(float(x), float(y), lap.camera_m, float(a))
            for (x, y), a in zip(ground, yaw, strict=True)
        ]

    def scene(self, lap: Lap) -> Scene:
        """The street as it looks during a lap: painted, lit, with that lap's cars."""
        houses = HouseBuilder(self.line, lap.light)
        furniture = FurnitureBuilder(self.line, lap.light)
        standing: list[Surface] = []
        row: list[Building | None] = [None, *self.layout.buildings]
        for before, house in zip(row, self.layout.buildings, strict=False):
            standing += houses.build(house, before)
        for thing in self.layout.standing:
            standing += furniture.build(thing)
        for car in park_cars(self.layout.length_m, self.seed, lap.cars_moved):
            standing += furniture.park(car)
        ground = lay_ground(self.line, self.layout, lap.light)
        if self.closed:
            ground = self._twice([segment for segment in ground if segment.along_m > 0])
            standing = self._twice(standing)
        sky = paint_sky(lap.light, self.seed, np.pi if self.closed else SPAN_RAD)
        return Scene(sky, ground, standing, lap.light.haze, lap.light.haze_half_m)

    def _twice(self, surfaces: list[Surface]) -> list[Surface]:
        """What there is around the block, and the same once more beyond its end."""
        beyond = [replace(one, along_m=one.along_m + self.length_m) for one in surfaces]
        return surfaces + beyond

    def station(self, along_m: float) -> float:
        """Where on the street as it is drawn one is after `along_m` metres."""
        if not self.closed:
            return along_m
        return BEHIND_M + (along_m - BEHIND_M) % self.length_m

    def frames(self, lap: Lap) -> Iterator[Frame]:
        """The frames of a lap in order, (height, width, 3) uint8 RGB, stamped at `lap.rate_hz`."""
        yield from self.frames_from(lap, self.poses(lap))

    def frames_from(self, lap: Lap, poses: list[CameraPose]) -> Iterator[Frame]:
        """The frames of a lap as `frames`, seen from other poses near the lap's own."""
        renderer = StreetRenderer(self.camera, self.scene(lap))
        sensor = Sensor(lap.light, self.camera.width, self.camera.height, self.seed)
        along = self.positions_m(lap)
        for index, pose in enumerate(poses):
            seen = renderer.render(pose, self.station(float(along[index])))
            stamp_ns = stamp_of(index, lap.rate_hz)
            yield Frame(f"{lap.name}_{index:04d}", stamp_ns, sensor.expose(seen, index))

    def depths_from(self, lap: Lap, poses: list[CameraPose]) -> Iterator[NDArray[np.float32]]:
        """The depth of the frames that `frames_from` gives, (height, width) float32 metres."""
        scene = self.scene(lap)
        for along_m, pose in zip(self.positions_m(lap), poses, strict=True):
            yield render_depth(self.camera, scene, pose, self.station(float(along_m)))
