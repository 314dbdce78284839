# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What stands on the pavement and at the kerb: trees, lamps, bins, signs and parked cars."""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.centerline import Centerline
from floppynet_vpr.synthetic.layout import ROAD_HALF_M, ParkedCar, Rgb, Standing
from floppynet_vpr.synthetic.light import Light
from floppynet_vpr.synthetic.surfaces import CutOut, Facet, Surface, Texture

_TREES = 10
_WIDTH_SHARE = {"tree": 0.8, "bush": 1.5, "bin": 0.62, "post": 0.30, "board": 0.7}
_CAR_WIDTH_M = 1.75


class FurnitureBuilder:
    """Turns standing things and cars into surfaces along one line and under one light."""

    def __init__(self, line: Centerline, light: Light) -> None:
        self._line = line
        self._light = light
        self._textures: dict[tuple[str, int], Texture] = {}

    def build(self, thing: Standing) -> list[Surface]:
        """The surfaces of one standing thing."""
        if thing.kind == "lamp":
            return self._lamp(thing)
        ground = self._line.points(np.array([thing.along_m]), thing.left_m)[0]
        foot = np.array([ground[0], ground[1], 0.0])
        width = thing.height_m * _WIDTH_SHARE[thing.kind]
        texture = self._texture(thing.kind, thing.variant % _TREES)
        return [CutOut(foot, width, thing.height_m, texture, thing.along_m)]

    def _texture(self, kind: str, variant: int) -> Texture:
        if (kind, variant) not in self._textures:
            paint = _paint_thing(kind, variant)
            factor = self._light.level
            lit = np.dstack([self._light.on(paint[:, :, :3], factor), paint[:, :, 3]])
            self._textures[kind, variant] = Texture(np.ascontiguousarray(lit))
        return self._textures[kind, variant]

    def _lamp(self, lamp: Standing) -> list[Surface]:
        """Pole, arm and head, flat and across the street; a halo where lamps are lit."""
        side = 1.0 if lamp.left_m > 0 else -1.0
        out, top = abs(lamp.left_m), lamp.height_m
        iron = self._light.on_colour((58, 62, 66), self._light.level)
        head = self._light.on_colour((206, 204, 190), self._light.level)
        if self._light.lamps > 0:
            head = (255, 236, 190)

        def flat(outs: list[float], heights: list[float], rgb: Rgb, later: float) -> Facet:
            left = side * np.array(outs)
            ground = self._line.points(np.full(len(outs), lamp.along_m), left)
            corners = np.column_stack([ground, heights])
            return Facet(corners, rgb, lamp.along_m - later)

        surfaces: list[Surface] = [
            flat([out - 0.07] * 2 + [out + 0.07] * 2, [0, top, top, 0], iron, 0.0),
            flat([out - 1.5] * 2 + [out] * 2, [top, top + 0.05, top + 0.05, top - 0.1], iron, 0.0),
            flat(
                [out - 1.6, out - 1.5, out - 0.95, out - 0.9],
                [top - 0.12, top + 0.02, top + 0.02, top - 0.12],
                head,
                0.001,
            ),
        ]
        if self._light.lamps > 0:
            ground = self._line.points(np.array([lamp.along_m]), side * (out - 1.25))[0]
            foot = np.array([ground[0], ground[1], top - 1.4])
            halo = Texture(_paint_halo())
            surfaces.append(CutOut(foot, 2.6, 2.6, halo, lamp.along_m - 0.002, glowing=True))
        return surfaces

    def park(self, car: ParkedCar) -> list[Surface]:
        """A car seen from behind and from the road: body, cabin, glass, wheels, tail lights."""
        near, far = car.along_m - car.length_m / 2, car.along_m + car.length_m / 2
        inner, outer = ROAD_HALF_M - 0.15 - _CAR_WIDTH_M, ROAD_HALF_M - 0.15
        van = car.height_m > 1.8
        waist = 1.15 if van else 0.9
        roof = car.height_m
        back, front = (0.1, 1.2) if van else (0.55, 1.5)
        lean = 0.12 if van else 0.2
        shade, lit = self._light.shaded, self._light.level
        paint = self._light.on_colour(car.paint, lit)
        rear = self._light.on_colour(car.paint, shade)
        glass = self._light.on_colour((66, 80, 92), lit)
        dark = self._light.on_colour((26, 26, 28), lit)
        lamp = (196, 26, 24) if self._light.lamps > 0 else self._light.on_colour((150, 24, 22), lit)
        shadow = self._light.on_colour((44, 44, 46), lit)
        hub = self._light.on_colour((150, 152, 156), lit)
        plate = self._light.on_colour((232, 230, 210), lit)
        parts: list[tuple[Rgb, list[tuple[float, float, float]]]] = [
            (shadow, _ring(near, far, inner - 0.1, outer, 0.01)),
            (dark, _side(near + 0.1, far - 0.1, inner + 0.05, 0.18, 0.35)),
            (paint, _ring(near, far, inner, outer, waist)),
            (paint, _side(near, far, inner, 0.3, waist)),
            (rear, _back(near, inner, outer, 0.3, waist)),
            (glass, [
                (near + 0.05, inner + 0.05, waist), (near + back, inner + lean, roof),
                (near + back, outer - lean, roof), (near + 0.05, outer - 0.05, waist),
            ]),
            (paint, [
                (near + 0.1, inner + 0.03, waist), (far - front, inner + 0.03, waist),
                (far - front - 0.5, inner + lean, roof), (near + back, inner + lean, roof),
            ]),
            (glass, [
                (near + 0.45, inner + 0.06, waist + 0.06),
                (far - front - 0.15, inner + 0.06, waist + 0.06),
                (far - front - 0.55, inner + lean, roof - 0.1),
                (near + back + 0.12, inner + lean, roof - 0.1),
            ]),
            (paint, _ring(near + back, far - front - 0.5, inner + lean, outer - lean, roof)),
            (dark, _wheel(near + 0.75, inner - 0.01, 0.32)),
            (dark, _wheel(far - 0.8, inner - 0.01, 0.32)),
            (hub, _wheel(near + 0.75, inner - 0.02, 0.18)),
            (hub, _wheel(far - 0.8, inner - 0.02, 0.18)),
            (dark, _back(near - 0.01, inner + 0.05, outer - 0.05, 0.3, 0.46)),
            (lamp, _back(near - 0.01, inner + 0.06, inner + 0.32, 0.62, 0.8)),
            (lamp, _back(near - 0.01, outer - 0.32, outer - 0.06, 0.62, 0.8)),
            (plate, _back(near - 0.01, inner + 0.62, outer - 0.62, 0.55, 0.67)),
        ]  # fmt: skip
        surfaces: list[Surface] = []
        for order, (rgb, corners) in enumerate(parts):
            points = np.array(corners)
            ground = self._line.points(points[:, 0], car.side * points[:, 1])
            world = np.column_stack([ground, points[:, 2]])
            until_m = math.inf if order in (1, 3, 4, 5, 6) else 45.0
            surfaces.append(Facet(world, rgb, near - 0.001 * order, until_m))
        return surfaces


def _ring(
    near: float, far: float, inner: float, outer: float, up: float
) -> list[tuple[float, float, float]]:
    return [(near, inner, up), (far, inner, up), (far, outer, up), (near, outer, up)]


def _side(
    near: float, far: float, out: float, low: float, high: float
) -> list[tuple[float, float, float]]:
    return [(near, out, low), (far, out, low), (far, out, high), (near, out, high)]


def _back(
    along: float, inner: float, outer: float, low: float, high: float
) -> list[tuple[float, float, float]]:
    return [(along, inner, low), (along, outer, low), (along, outer, high), (along, inner, high)]


def _wheel(along: float, out: float, radius: float) -> list[tuple[float, float, float]]:
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    return [
        (along + radius * float(np.cos(a)), out, 0.32 + radius * float(np.sin(a))) for a in turn
    ]


@lru_cache(maxsize=64)
def _paint_thing(kind: str, variant: int) -> NDArray[np.uint8]:
    """A cut-out picture (H, W, 4) uint8 RGBA."""
    if kind == "tree":
        return _paint_leaves(320, 256, 3200, variant, trunk=True)
    if kind == "bush":
        return _paint_leaves(96, 144, 700, variant + 40, trunk=False)
    rng = np.random.default_rng(variant)
    picture = np.zeros((160, 160 if kind != "post" else 60, 4), np.uint8)
    height, width = picture.shape[:2]
    if kind == "bin":
        body = [(34, 78, 56), (70, 72, 76), (150, 110, 40)][variant % 3]
        cv2.rectangle(picture, (22, 24), (width - 22, height - 2), (*body, 255), -1)
        cv2.rectangle(picture, (14, 10), (width - 14, 30), (30, 32, 34, 255), -1)
        cv2.rectangle(picture, (30, 50), (48, height - 8), (*_light_tone(body), 255), -1)
    elif kind == "board":
        cv2.rectangle(picture, (10, 4), (width - 10, height - 2), (84, 58, 40, 255), -1)
        cv2.rectangle(picture, (22, 16), (width - 22, height - 30), (36, 40, 42, 255), -1)
        for row in range(32, height - 40, 16):
            end = 40 + int(rng.integers(30, 80))
            cv2.line(picture, (34, row), (end, row), (226, 222, 206, 255), 4)
    else:
        cv2.rectangle(picture, (27, 0), (33, height - 1), (120, 122, 126, 255), -1)
        face = [(36, 70, 150), (190, 34, 36), (226, 226, 220)][variant % 3]
        cv2.circle(picture, (30, 30), 29, (236, 236, 232, 255), -1)
        cv2.circle(picture, (30, 30), 25, (*face, 255), -1)
        cv2.rectangle(picture, (14, 26), (46, 34), (240, 240, 236, 255), -1)
    return picture


def _light_tone(rgb: Rgb) -> Rgb:
    r, g, b = (min(255, c + 34) for c in rgb)
    return r, g, b


def _paint_leaves(
    height: int, width: int, leaves: int, seed: int, *, trunk: bool
) -> NDArray[np.uint8]:
    """A crown of dabs, lighter to the upper right, each tree of its own shape and green."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 4), np.uint8)
    middle, crown = width / 2, height * (0.36 if trunk else 0.5)
    if trunk:
        bark = (84, 68, 54, 255)
        base = np.array([[-9, height], [9, height], [5, crown], [-5, crown]])
        base[:, 0] += middle
        cv2.fillConvexPoly(picture, base.astype(np.int32), bark)
        for reach in (-50, -24, 30, 54):
            tip = (round(middle + reach), round(crown - abs(reach) * 0.3))
            cv2.line(picture, (round(middle), round(crown + 34)), tip, bark, 5)
    green = np.array([rng.uniform(62, 112), rng.uniform(96, 132), rng.uniform(38, 66)])
    lumps = rng.normal(0, [width * 0.15, height * (0.11 if trunk else 0.15)], (9, 2))
    spread = (width * 0.105, height * (0.075 if trunk else 0.12))
    dabs = lumps[rng.integers(0, 9, leaves)] + rng.normal(0, spread, (leaves, 2))
    order = np.argsort(dabs[:, 0] * 0.35 - dabs[:, 1] + rng.normal(0, 26, leaves))
    for rank, index in enumerate(order):
        u, v = middle + dabs[index, 0], crown + dabs[index, 1]
        bright = 0.55 + 0.65 * rank / leaves + rng.normal(0, 0.07)
        dab = np.clip(green * bright, 0, 255)
        colour = (float(dab[0]), float(dab[1]), float(dab[2]), 255.0)
        cv2.circle(picture, (round(u), round(v)), int(rng.integers(2, 5)), colour, -1)
    return picture


@lru_cache(maxsize=1)
def _paint_halo() -> NDArray[np.uint8]:
    """The glare around a lamp, (H, W, 4): light that is added to what is behind it."""
    span = np.linspace(-1, 1, 96)
    radius = np.hypot(span[None], span[:, None])
    strength = np.clip(1.0 - radius, 0, 1) ** 2.4
    picture = np.zeros((96, 96, 4), np.uint8)
    picture[:, :, :3] = np.array([255, 206, 140])
    picture[:, :, 3] = np.clip(strength * 300, 0, 255)
    return picture
