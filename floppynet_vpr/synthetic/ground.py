# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Paints road, markings, kerbs and pavement as a map from above, and lays it out in segments.

Shadows of the houses (by day) and the pools of light under the lamps (at dusk) fall on this map,
where their outlines are simple.
"""

import math
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.centerline import Centerline
from floppynet_vpr.synthetic.layout import FRONTAGE_M, ROAD_HALF_M, StreetLayout
from floppynet_vpr.synthetic.light import Light
from floppynet_vpr.synthetic.surfaces import Surface, Texture, Wall

TEXELS_PER_M = 24
HALF_WIDTH_M = 18.0
SEGMENT_M = 4.0
BEFORE_M = 8.0
"""The ground begins this far before the start of the street."""

_STRIPS_M = (HALF_WIDTH_M, 5.0, 0.0, -5.0, -HALF_WIDTH_M)
"""Each segment is cut lengthwise here: in a curve, narrow pieces join without a step."""


def lay_ground(line: Centerline, layout: StreetLayout, light: Light) -> list[Surface]:
    """The ground of the whole street as walls that lie flat."""
    ground = _under_light(_paint(layout), layout, light)
    walls: list[Surface] = []
    step = round(SEGMENT_M * TEXELS_PER_M)
    for index in range(ground.shape[0] // step):
        near = index * SEGMENT_M - BEFORE_M
        far = near + SEGMENT_M
        rows = slice(ground.shape[0] - (index + 1) * step, ground.shape[0] - index * step)
        for left, right in pairwise(_STRIPS_M):
            columns = slice(_texel(0, left, 0)[0], _texel(0, right, 0)[0])
            along = np.array([far, far, near, near])
            corners = np.zeros((4, 3))
            corners[:, :2] = line.points(along, np.array([left, right, right, left]))
            part = np.ascontiguousarray(ground[rows, columns])
            until_m = 60.0 if HALF_WIDTH_M in (left, -right) else math.inf
            walls.append(Wall(corners, Texture(part), far, until_m))
    return walls


def _texel(along_m: float, left_m: float, height: int) -> tuple[int, int]:
    """Column and row of a point: the top row is the street's far end, the left column its left."""
    u = round((HALF_WIDTH_M - left_m) * TEXELS_PER_M)
    return u, height - round((along_m + BEFORE_M) * TEXELS_PER_M)


def _paint(layout: StreetLayout) -> NDArray[np.uint8]:
    rng = np.random.default_rng([layout.seed, 7])
    segments = int(np.ceil((layout.length_m + BEFORE_M) / SEGMENT_M))
    height = segments * round(SEGMENT_M * TEXELS_PER_M)
    width = round(2 * HALF_WIDTH_M * TEXELS_PER_M)
    ground = np.empty((height, width, 3), np.uint8)
    ground[:] = (104, 122, 84)
    end = layout.length_m + 8

    def band(inner: float, outer: float, rgb: tuple[int, int, int]) -> None:
        for side in (1, -1):
            a = _texel(-BEFORE_M, side * inner, height)
            b = _texel(end, side * outer, height)
            cv2.rectangle(ground, a, b, rgb, -1)

    band(0.0, FRONTAGE_M + 1.7, (164, 158, 150))
    _paint_slabs(ground)
    band(0.0, ROAD_HALF_M + 0.18, (190, 186, 178))
    band(0.0, ROAD_HALF_M, (108, 108, 109))
    band(ROAD_HALF_M - 0.35, ROAD_HALF_M, (90, 90, 91))
    _paint_patches(ground, rng, layout.length_m)
    _paint_markings(ground, layout)
    grain = rng.normal(0.0, 7.0, (height, width)).astype(np.float32)
    grain += cv2.resize(
        rng.normal(0.0, 9.0, (height // 40, width // 40)).astype(np.float32),
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    )
    return np.clip(ground + grain[:, :, None], 0, 255).astype(np.uint8)


def _paint_slabs(ground: NDArray[np.uint8]) -> None:
    pitch = round(0.75 * TEXELS_PER_M)
    ground[::pitch] = (ground[::pitch] * 0.84).astype(np.uint8)
    ground[:, ::pitch] = (ground[:, ::pitch] * 0.88).astype(np.uint8)


def _paint_patches(ground: NDArray[np.uint8], rng: np.random.Generator, length_m: float) -> None:
    """Repairs and manhole covers: what makes one stretch of road unlike the next."""
    height = ground.shape[0]
    for _ in range(int(length_m / 5)):
        along, left = float(rng.uniform(0, length_m)), float(rng.uniform(-2.8, 2.8))
        kind = rng.random()
        tone = int(rng.integers(82, 134))
        if kind < 0.55:
            long, wide = float(rng.uniform(0.6, 4.5)), float(rng.uniform(0.5, 2.2))
            corner = _texel(along + long, left - wide, height)
            cv2.rectangle(ground, _texel(along, left, height), corner, (tone, tone, tone + 2), -1)
        else:
            centre = _texel(along, left, height)
            cv2.circle(ground, centre, round(0.36 * TEXELS_PER_M), (62, 60, 58), -1)
            cv2.circle(ground, centre, round(0.28 * TEXELS_PER_M), (98, 94, 90), 2)


def _paint_markings(ground: NDArray[np.uint8], layout: StreetLayout) -> None:
    height = ground.shape[0]
    white = (222, 222, 216)
    for along in np.arange(-BEFORE_M, layout.length_m, 6.0):
        start, end = _texel(along, 0.07, height), _texel(along + 3.0, -0.07, height)
        cv2.rectangle(ground, start, end, white, -1)
    for along in layout.crossings_m:
        a = _texel(along - 0.4, ROAD_HALF_M - 0.3, height)
        b = _texel(along + 3.9, -ROAD_HALF_M + 0.3, height)
        cv2.rectangle(ground, a, b, (108, 108, 109), -1)
        for left in np.arange(-ROAD_HALF_M + 0.5, ROAD_HALF_M - 0.6, 1.0):
            start, end = _texel(along, left, height), _texel(along + 3.5, left + 0.5, height)
            cv2.rectangle(ground, start, end, white, -1)


def _under_light(
    ground: NDArray[np.uint8], layout: StreetLayout, light: Light
) -> NDArray[np.uint8]:
    height, width = ground.shape[:2]
    shade = np.ones((height, width, 1), np.float32)
    if light.shadow > 0:
        for house in layout.buildings:
            if house.side > 0:
                reach = house.height_m * 0.62
                edge = FRONTAGE_M + house.setback_m - reach
                a = _texel(house.start_m, FRONTAGE_M + 10, height)
                b = _texel(house.end_m, edge, height)
                cv2.rectangle(shade, a, b, 1 - light.shadow, -1)
        shade[:, :, 0] = cv2.GaussianBlur(shade, (0, 0), 2.0)
    lit = light.on(ground, light.level)
    lit = np.clip(lit * shade, 0, 255).astype(np.uint8)
    if light.lamps > 0:
        discs = np.zeros((height, width), np.float32)
        for thing in layout.standing:
            if thing.kind == "lamp":
                left = np.sign(thing.left_m) * (abs(thing.left_m) - 1.2)
                centre = _texel(thing.along_m, float(left), height)
                cv2.circle(discs, centre, round(3.2 * TEXELS_PER_M), 1.0, -1)
        small = cv2.resize(discs, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small, (0, 0), 1.5 * TEXELS_PER_M / 8)
        pools = cv2.resize(soft, (width, height))[:, :, None] * light.lamps
        warm = np.array([0.62, 0.44, 0.22], np.float32)
        lit = np.clip(lit + ground * (pools * warm), 0, 255).astype(np.uint8)
    return lit
