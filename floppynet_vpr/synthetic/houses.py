# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Builds a house out of surfaces: facade, end wall, roof, chimney, awning, hanging sign."""

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.centerline import Centerline
from floppynet_vpr.synthetic.facades import paint_facade, paint_gable
from floppynet_vpr.synthetic.layout import FRONTAGE_M, Building
from floppynet_vpr.synthetic.light import Light
from floppynet_vpr.synthetic.surfaces import Facet, Surface, Texture, Wall

_STRIP_M = 5.5
"""A facade is cut into strips no longer than this, so that each is read at its own resolution."""

_ROOF_DEPTH_M, _ROOF_RISE_M = 2.0, 2.9


class HouseBuilder:
    """Turns buildings into surfaces along one line and under one light."""

    def __init__(self, line: Centerline, light: Light) -> None:
        self._line = line
        self._light = light

    def build(self, house: Building, before: Building | None = None) -> list[Surface]:
        """All surfaces of one house; `before` is the one that stands before it on the same side."""
        facade = paint_facade(house)
        factor = self._light.shaded if house.side > 0 else self._light.sunlit
        front = self._light.on(facade.paint, factor, facade.glow)
        out = FRONTAGE_M + house.setback_m
        surfaces: list[Surface] = []
        surfaces += self._strips(house, front, (out, out), (house.height_m, 0.0))
        if before is None or not _hides_end_of(before, house):
            gable = self._light.on(paint_gable(house), self._light.shaded)
            surfaces.append(self._end_wall(house, gable, out))
        if house.pitched:
            surfaces += self._roof(house, out, factor)
        if house.shop is not None:
            surfaces += self._shop_extras(house, out)
        return surfaces

    def corners(
        self, house: Building, start: float, end: float, out: tuple[float, float],
        height: tuple[float, float],
    ) -> NDArray[np.float64]:  # fmt: skip
        """Corners (4, 3) of a face along the street; `out` and `height` give (top, bottom).

        Left as seen from the road is the nearer end on the left-hand side, the farther on the
        right.
        """
        first, second = (start, end) if house.side > 0 else (end, start)
        along = np.array([first, second, second, first])
        left = house.side * np.array([out[0], out[0], out[1], out[1]])
        ground = self._line.points(along, left)
        return np.column_stack([ground, [height[0], height[0], height[1], height[1]]])

    def _strips(
        self, house: Building, picture: NDArray[np.uint8], out: tuple[float, float],
        height: tuple[float, float], sooner: float = 0.0,
    ) -> list[Surface]:  # fmt: skip
        """A picture that spans the house, cut into walls; `sooner` > 0: drawn before the facade."""
        count = max(1, round((house.end_m - house.start_m) / _STRIP_M))
        bounds = np.linspace(house.start_m, house.end_m, count + 1)
        columns = np.round(np.linspace(0, picture.shape[1], count + 1)).astype(int)
        walls: list[Surface] = []
        for i in range(count):
            j = i if house.side > 0 else count - 1 - i
            part = np.ascontiguousarray(picture[:, columns[j] : columns[j + 1]])
            corners = self.corners(house, bounds[i], bounds[i + 1], out, height)
            walls.append(Wall(corners, Texture(part), float(bounds[i + 1]) + sooner))
        return walls

    def _end_wall(self, house: Building, picture: NDArray[np.uint8], out: float) -> Wall:
        """The wall that faces whoever drives along the street, 10 m deep."""
        left, right = (out + 10, out) if house.side > 0 else (out, out + 10)
        ground = self._line.points(
            np.full(4, house.start_m), house.side * np.array([left, right, right, left])
        )
        tall = house.height_m
        corners = np.column_stack([ground, [tall, tall, 0, 0]])
        return Wall(corners, Texture(picture), house.start_m + 0.02)

    def _roof(
        self, house: Building, out: float, factor: tuple[float, float, float]
    ) -> list[Surface]:
        eaves, ridge = house.height_m, house.height_m + _ROOF_RISE_M
        tiles = self._light.on(_paint_tiles(house), factor)
        surfaces = self._strips(
            house, tiles, (out + _ROOF_DEPTH_M, out - 0.25), (ridge, eaves - 0.1), sooner=0.05
        )
        left = house.side * np.array([out, out + _ROOF_DEPTH_M, out + 8, out + 10])
        ground = self._line.points(np.full(4, house.start_m), left)
        gable = np.column_stack([ground, [eaves, ridge, ridge, eaves]])
        wall = self._light.on_colour(house.wall, self._light.shaded)
        darker = self._light.on_colour(wall, (0.9, 0.9, 0.9))
        surfaces.append(Facet(gable, darker, house.start_m + 0.03))
        stack = house.side * np.array([out + 2.6, out + 3.6, out + 3.6, out + 2.6])
        ground = self._line.points(np.full(4, house.start_m + 0.3), stack)
        top = ridge + 1.1
        chimney = np.column_stack([ground, [top, top, ridge - 0.6, ridge - 0.6]])
        brick = self._light.on_colour((132, 84, 70), self._light.shaded)
        surfaces.append(Facet(chimney, brick, house.start_m + 0.04))
        return surfaces

    def _shop_extras(self, house: Building, out: float) -> list[Surface]:
        """Half of the shops have an awning, the others a sign that hangs over the pavement."""
        if house.seed % 2:
            cloth = self._light.on(_paint_awning(house), self._light.level)
            wide = self._strips(house, cloth, (out, out - 1.3), (2.85, 2.3), sooner=-0.02)
            return wide
        along = house.start_m + 0.6
        board = np.empty((60, 60, 3), np.uint8)
        board[:] = house.sign
        ink = (250, 244, 226) if sum(house.sign) < 420 else (40, 36, 34)
        cv2.rectangle(board, (3, 3), (56, 56), ink, 2)
        cv2.putText(
            board, str(house.shop)[0], (15, 45), cv2.FONT_HERSHEY_DUPLEX, 1.4, ink, 3, cv2.LINE_AA
        )
        lit = self._light.on(board, self._light.shaded, (board * 0.5).astype(np.uint8))
        near, far = out - 1.0, out - 0.1
        sides = (far, near, near, far) if house.side > 0 else (near, far, far, near)
        ground = self._line.points(np.full(4, along), house.side * np.array(sides))
        corners = np.column_stack([ground, [4.6, 4.6, 3.7, 3.7]])
        return [Wall(corners, Texture(lit), along)]


def _hides_end_of(before: Building, house: Building) -> bool:
    return (
        before.side == house.side
        and before.end_m == house.start_m
        and before.height_m >= house.height_m
        and before.setback_m <= house.setback_m
    )


def _paint_tiles(house: Building) -> NDArray[np.uint8]:
    """Rows of tiles with a dormer window or two, (H, W, 3), 24 texels a metre."""
    rng = np.random.default_rng(house.seed + 2)
    width = round((house.end_m - house.start_m) * 24)
    height = round(float(np.hypot(_ROOF_DEPTH_M, _ROOF_RISE_M)) * 24)
    shade = 1.0 + rng.normal(0.0, 0.08, (height // 6 + 1, width // 5 + 1))
    v, u = np.mgrid[0:height, 0:width]
    picked = shade[v // 6, u // 5] * np.where(v % 6 == 0, 0.8, 1.0)
    tiles = np.clip(np.array(house.roof) * picked[:, :, None], 0, 255).astype(np.uint8)
    for x in np.linspace(0, width, int(rng.integers(1, 4)) + 2)[1:-1]:
        middle = round(float(x))
        cv2.rectangle(tiles, (middle - 16, 22), (middle + 16, 66), house.trim, -1)
        cv2.rectangle(tiles, (middle - 12, 28), (middle + 12, 62), (70, 84, 98), -1)
    return tiles


def _paint_awning(house: Building) -> NDArray[np.uint8]:
    """Striped cloth, (H, W, 3), 20 texels a metre, with a darker hem."""
    width = round((house.end_m - house.start_m) * 20)
    stripes = (np.arange(width) // 8) % 2 == 0
    row = np.where(stripes[:, None], np.array(house.sign), np.array((236, 230, 216)))
    cloth = np.repeat(row[None], 30, axis=0).astype(np.uint8)
    cloth[-5:] = (cloth[-5:] * 0.7).astype(np.uint8)
    return cloth
