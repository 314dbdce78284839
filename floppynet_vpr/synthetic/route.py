# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A street that never was, to be driven again and again: real perspective, known places.

It lets anybody try loop closure without any data: the first lap makes the map, the second one
(another lane, another light, other cars, another speed) asks. Houses, signs and trees are the
same ones, seen from elsewhere, so the match has really to be done; the truth is the distance
along the street.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.frames import Frame, stamp_of
from floppynet_vpr.synthetic.camera import CameraPose, PinholeCamera
from floppynet_vpr.synthetic.centerline import Centerline
from floppynet_vpr.synthetic.furniture import FurnitureBuilder
from floppynet_vpr.synthetic.ground import lay_ground
from floppynet_vpr.synthetic.houses import HouseBuilder
from floppynet_vpr.synthetic.layout import Building, lay_out_street, park_cars
from floppynet_vpr.synthetic.light import DAY, DUSK, Light, Sensor, paint_sky
from floppynet_vpr.synthetic.renderer import VIEW_M, StreetRenderer
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


class SyntheticRoute:
    """One street, whose laps are at most `length_m` long; the seed decides everything."""

    def __init__(
        self, seed: int = 7, length_m: float = 150.0, camera: PinholeCamera | None = None
    ) -> None:
        """Lay out the street; nothing is painted before the first frame is asked for."""
        self.seed = seed
        self.length_m = length_m
        self.camera = camera or PinholeCamera()
        self.layout = lay_out_street(length_m + VIEW_M, seed)
        self.line = Centerline(length_m + VIEW_M)

    def positions_m(self, lap: Lap) -> NDArray[np.float64]:
        """The truth: metres along the street at which each frame of the lap is taken, (n,)."""
        return np.arange(lap.start_m, self.length_m, lap.step_m)

    def poses(self, lap: Lap) -> list[CameraPose]:
        """Where the camera is and looks at each frame of the lap, world axes."""
        along = self.positions_m(lap)
        phase = np.random.default_rng([self.seed, 8, *lap.name.encode()]).uniform(0, 6.28, 2)
        left = lap.left_m + lap.sway_m * np.sin(along / 9.0 + phase[0])
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
        sky = paint_sky(lap.light, self.seed)
        return Scene(sky, ground, standing, lap.light.haze, lap.light.haze_half_m)

    def frames(self, lap: Lap) -> Iterator[Frame]:
        """The frames of a lap in order, (height, width, 3) uint8 RGB, stamped at `lap.rate_hz`."""
        renderer = StreetRenderer(self.camera, self.scene(lap))
        sensor = Sensor(lap.light, self.camera.width, self.camera.height, self.seed)
        along = self.positions_m(lap)
        for index, pose in enumerate(self.poses(lap)):
            seen = renderer.render(pose, float(along[index]))
            stamp_ns = stamp_of(index, lap.rate_hz)
            yield Frame(f"{lap.name}_{index:04d}", stamp_ns, sensor.expose(seen, index))
