# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Paints the front of a house: wall, windows, door or shop, sign; once as paint and once as light.

Two pictures come out: what reflects light (paint) and what sends it out at dusk (glow: lit
windows, shop fronts and signs), so that one facade serves every light.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.layout import Building, Rgb

TEXELS_PER_M = 40
"""At the nearest a facade comes to the picture (about 8 m deep), a texel is about a pixel."""

_GROUND_FLOOR_M = 3.9
_FLOOR_M = 3.1
_WARM: list[Rgb] = [(220, 160, 84), (226, 180, 116), (212, 138, 62), (190, 190, 184)]


@dataclass(frozen=True, eq=False)
class Facade:
    """Paint and glow of one front as seen from the road, both (H, W, 3) uint8 RGB."""

    paint: NDArray[np.uint8]
    glow: NDArray[np.uint8]


class _Brush:
    """Draws on paint and glow in metres: x from the left, y from the pavement up."""

    def __init__(self, width_m: float, height_m: float, wall: Rgb) -> None:
        shape = (round(height_m * TEXELS_PER_M), round(width_m * TEXELS_PER_M), 3)
        self.width_m, self.height_m = width_m, height_m
        self.paint = np.empty(shape, np.uint8)
        self.paint[:] = wall
        self.glow = np.zeros(shape, np.uint8)

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        return round(x * TEXELS_PER_M), round((self.height_m - y) * TEXELS_PER_M)

    def box(self, x0: float, y0: float, x1: float, y1: float, rgb: Rgb) -> None:
        """A painted rectangle; what stands behind it glows no more."""
        for picture, colour in ((self.paint, rgb), (self.glow, (0, 0, 0))):
            cv2.rectangle(picture, self.pixel(x0, y0), self.pixel(x1, y1), colour, -1)

    def light(self, x0: float, y0: float, x1: float, y1: float, rgb: Rgb) -> None:
        cv2.rectangle(self.glow, self.pixel(x0, y0), self.pixel(x1, y1), rgb, -1)

    def shade(self, x0: float, y0: float, x1: float, y1: float, factor: float) -> None:
        """Darken (or brighten) a rectangle of the paint."""
        (u0, v1), (u1, v0) = self.pixel(x0, y0), self.pixel(x1, y1)
        part = self.paint[max(v0, 0) : max(v1, 0), max(u0, 0) : max(u1, 0)]
        np.clip(part * factor, 0, 255, out=part, casting="unsafe")

    def glass(self, x0: float, y0: float, x1: float, y1: float, sky: float) -> None:
        """A pane: dark below, the sky's reflection above, a slanting streak across."""
        (u0, v1), (u1, v0) = self.pixel(x0, y0), self.pixel(x1, y1)
        v0, u0 = max(v0, 0), max(u0, 0)
        pane = self.paint[v0:v1, u0:u1]
        if pane.size == 0:
            return
        rise = np.linspace(1, 0, pane.shape[0])[:, None, None]
        dark, bright = np.array([36.0, 44, 54]), np.array([128.0, 150, 172]) * sky
        pane[:] = np.clip(dark + (bright - dark) * rise**1.5, 0, 255)
        streak = (np.arange(pane.shape[1])[None] + np.arange(pane.shape[0])[:, None]) % 97 < 14
        pane[streak] = np.clip(pane[streak] * 1.18, 0, 255)

    def text(self, words: str, x: float, y: float, width: float, height: float, rgb: Rgb) -> None:
        """Words fitted into a rectangle around (x, y), in paint and (fainter) in glow."""
        font, thickness = cv2.FONT_HERSHEY_DUPLEX, max(2, round(height * TEXELS_PER_M / 9))
        (tw, th), _ = cv2.getTextSize(words, font, 1.0, thickness)
        scale = min(width * TEXELS_PER_M / tw, height * TEXELS_PER_M / th)
        u, v = self.pixel(x, y)
        corner = (round(u - tw * scale / 2), round(v + th * scale / 2))
        cv2.putText(self.paint, words, corner, font, scale, rgb, thickness, cv2.LINE_AA)
        cv2.putText(self.glow, words, corner, font, scale, rgb, thickness, cv2.LINE_AA)


def paint_facade(house: Building) -> Facade:
    """The front of a house, as wide as its stretch of the street and as high as its eaves."""
    rng = np.random.default_rng(house.seed)
    brush = _Brush(house.end_m - house.start_m, house.height_m, house.wall)
    _paint_wall(brush, house, rng)
    _paint_upper_floors(brush, house, rng)
    if house.shop is not None:
        _paint_shop(brush, house, rng)
    else:
        _paint_ground_floor(brush, house, rng)
    _weather(brush, rng)
    return Facade(brush.paint, brush.glow)


def paint_gable(house: Building) -> NDArray[np.uint8]:
    """The windowless end wall of a house, (H, W, 3), 10 m wide: its material and weather only."""
    rng = np.random.default_rng(house.seed + 1)
    brush = _Brush(10.0, house.height_m, house.wall)
    _paint_wall(brush, house, rng)
    _weather(brush, rng)
    return brush.paint


def _tone(rgb: Rgb, factor: float) -> Rgb:
    r, g, b = (min(255, max(0, round(c * factor))) for c in rgb)
    return r, g, b


def _paint_wall(brush: _Brush, house: Building, rng: np.random.Generator) -> None:
    height, width = brush.paint.shape[:2]
    if house.style in ("brick", "stone"):
        course, long = (3, 9) if house.style == "brick" else (16, 32)
        rows, columns = -(-height // course), -(-width // long) + 1
        spread = 0.10 if house.style == "brick" else 0.06
        shades = 1.0 + rng.normal(0.0, spread, (rows, columns))
        v, u = np.mgrid[0:height, 0:width]
        row = v // course
        picked = shades[row, (u + (row % 2) * long // 2) // long]
        joint = (v % course == 0) | (
            ((u + (row % 2) * long // 2) % long == 0) & (house.style == "stone")
        )
        picked = np.where(joint, 0.86, picked)
        brush.paint[:] = np.clip(brush.paint * picked[:, :, None], 0, 255)
    else:
        coarse = rng.normal(1.0, 0.035, (height // 8 + 1, width // 8 + 1)).astype(np.float32)
        grain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        brush.paint[:] = np.clip(brush.paint * grain[:, :, None], 0, 255)
    if house.style == "modern":
        for y in np.arange(_GROUND_FLOOR_M, brush.height_m, _FLOOR_M):
            brush.box(0, y - 0.12, brush.width_m, y + 0.02, _tone(house.wall, 0.72))
    else:
        brush.box(0, _GROUND_FLOOR_M - 0.25, brush.width_m, _GROUND_FLOOR_M - 0.05, house.trim)
        brush.shade(0, _GROUND_FLOOR_M - 0.4, brush.width_m, _GROUND_FLOOR_M - 0.25, 0.75)
        top = brush.height_m
        brush.box(0, top - 0.35, brush.width_m, top, _tone(house.trim, 0.95))
        brush.shade(0, top - 0.62, brush.width_m, top - 0.35, 0.7)


def _paint_upper_floors(brush: _Brush, house: Building, rng: np.random.Generator) -> None:
    bays = max(2, int((brush.width_m - 0.6) / house.bay_m))
    pitch = brush.width_m / bays
    balcony = int(rng.integers(1, 4)) if rng.random() < 0.35 else -1
    for floor in range(1, house.floors):
        base = _GROUND_FLOOR_M + _FLOOR_M * (floor - 1)
        for bay in range(bays):
            middle = (bay + 0.5) * pitch
            lit = rng.random() < 0.42
            warm = _WARM[int(rng.integers(len(_WARM)))]
            sky = float(rng.uniform(0.5, 1.1))
            if house.window == "band":
                _window_band(brush, bay * pitch, (bay + 1) * pitch, base, house, lit, warm, sky)
            else:
                _window(brush, middle, base + 0.75, house, lit, warm, sky, rng)
        if floor == balcony and house.window != "band":
            _balconies(brush, base, bays, pitch)


def _window(
    brush: _Brush, x: float, y: float, house: Building, lit: bool, warm: Rgb, sky: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    half, height = (0.62, 1.75) if house.window in ("sash", "arched") else (0.55, 1.5)
    if house.window == "shutters":
        colour = _tone(house.sign, 0.9)
        for x0 in (x - half - 0.58, x + half + 0.06):
            brush.box(x0, y, x0 + 0.52, y + height, colour)
            for slat in np.arange(y + 0.12, y + height, 0.16):
                brush.shade(x0 + 0.06, slat, x0 + 0.46, slat + 0.05, 0.72)
    if house.window == "arched":
        centre = brush.pixel(x, y + height)
        cv2.circle(brush.paint, centre, round((half + 0.14) * TEXELS_PER_M), house.trim, -1)
    brush.box(x - half - 0.1, y - 0.08, x + half + 0.1, y + height + 0.1, house.trim)
    brush.glass(x - half, y, x + half, y + height, sky)
    if lit:
        brush.light(x - half, y, x + half, y + height, warm)
    if rng.random() < 0.5:
        drop = float(rng.uniform(0.25, 0.9)) * height
        brush.box(x - half, y + height - drop, x + half, y + height, (206, 198, 184))
        if lit:
            brush.light(x - half, y + height - drop, x + half, y + height, _tone(warm, 0.62))
    for bar in (x - 0.03, x + half * 0.66) if house.window == "casement" else (x - 0.03,):
        brush.box(bar, y, bar + 0.06, y + height, house.trim)
    brush.box(x - half, y + height * 0.52, x + half, y + height * 0.52 + 0.06, house.trim)
    brush.box(x - half - 0.18, y - 0.18, x + half + 0.18, y - 0.04, _tone(house.trim, 0.92))
    brush.shade(x - half - 0.18, y - 0.34, x + half + 0.18, y - 0.18, 0.78)


def _window_band(
    brush: _Brush, x0: float, x1: float, base: float, house: Building, lit: bool, warm: Rgb,
    sky: float,
) -> None:  # fmt: skip
    brush.glass(x0, base + 0.85, x1, base + 2.5, sky)
    if lit:
        brush.light(x0, base + 0.85, x1, base + 2.5, warm)
    brush.box(x0, base + 0.8, x0 + 0.12, base + 2.55, house.trim)
    brush.box(x0, base + 2.05, x1, base + 2.12, house.trim)


def _balconies(brush: _Brush, base: float, bays: int, pitch: float) -> None:
    iron = (44, 46, 50)
    for bay in range(0, bays, 2):
        x0, x1 = (bay + 0.08) * pitch, (bay + 0.92) * pitch
        brush.box(x0, base + 0.42, x1, base + 0.58, (178, 174, 166))
        brush.shade(x0, base + 0.1, x1, base + 0.42, 0.72)
        for x in np.arange(x0, x1, 0.18):
            brush.box(x, base + 0.58, x + 0.04, base + 1.5, iron)
        brush.box(x0, base + 1.46, x1, base + 1.54, iron)


def _paint_shop(brush: _Brush, house: Building, rng: np.random.Generator) -> None:
    width, frame = brush.width_m, _tone(house.sign, 0.8)
    brush.box(0.25, 0.0, width - 0.25, 3.55, frame)
    door = float(rng.choice([0.15, 0.5, 0.85])) * (width - 2.4) + 1.2
    panes = max(2, round(width / 2.4))
    for x0, x1 in zip(
        np.linspace(0.4, width - 0.4, panes + 1)[:-1],
        np.linspace(0.4, width - 0.4, panes + 1)[1:],
        strict=True,
    ):
        brush.glass(x0 + 0.06, 0.6, x1 - 0.06, 2.65, 0.55)
        for y, tone in ((0.6, 0.62), (1.2, 0.74), (1.8, 0.88)):
            brush.light(x0 + 0.06, y, x1 - 0.06, 2.65, _tone((236, 196, 132), tone))
        _wares(brush, x0 + 0.1, x1 - 0.1, rng)
    brush.box(door - 0.55, 0.0, door + 0.55, 2.6, _tone(house.trim, 0.6))
    brush.glass(door - 0.4, 0.7, door + 0.4, 2.4, 0.8)
    brush.light(door - 0.4, 0.7, door + 0.4, 2.4, (255, 224, 170))
    brush.box(0.25, 2.75, width - 0.25, 3.55, house.sign)
    brush.light(0.25, 2.75, width - 0.25, 3.55, _tone(house.sign, 0.45))
    ink = (250, 244, 226) if sum(house.sign) < 420 else (40, 36, 34)
    brush.text(str(house.shop), width / 2, 3.15, min(width - 1.0, 8.0), 0.52, ink)


def _wares(brush: _Brush, x0: float, x1: float, rng: np.random.Generator) -> None:
    """Boxes and goods in a shop window, each shop its own."""
    x = x0
    while x < x1 - 0.2:
        wide, high = float(rng.uniform(0.15, 0.45)), float(rng.uniform(0.2, 0.9))
        colour = tuple(int(c) for c in rng.integers(40, 230, 3))
        rgb = (colour[0], colour[1], colour[2])
        brush.box(x, 0.62, min(x + wide, x1), 0.62 + high, rgb)
        brush.light(x, 0.62, min(x + wide, x1), 0.62 + high, _tone(rgb, 0.55))
        x += wide + float(rng.uniform(0.05, 0.4))


def _paint_ground_floor(brush: _Brush, house: Building, rng: np.random.Generator) -> None:
    width = brush.width_m
    brush.box(0, 0, width, 0.55, _tone(house.wall, 0.62))
    bays = max(2, int(width / 3.0))
    pitch = width / bays
    door, garage = int(rng.integers(bays)), rng.random() < 0.3
    for bay in range(bays):
        x = (bay + 0.5) * pitch
        if bay == door and garage:
            brush.box(x - 1.3, 0, x + 1.3, 2.5, _tone(house.trim, 0.85))
            for y in np.arange(0.25, 2.5, 0.3):
                brush.shade(x - 1.3, y, x + 1.3, y + 0.05, 0.75)
        elif bay == door:
            brush.box(x - 0.75, 0, x + 0.75, 2.85, house.trim)
            brush.box(x - 0.55, 0, x + 0.55, 2.25, _tone(house.sign, 0.85))
            brush.shade(x - 0.4, 0.3, x + 0.4, 1.0, 0.8)
            brush.shade(x - 0.4, 1.2, x + 0.4, 2.05, 0.8)
            brush.glass(x - 0.55, 2.32, x + 0.55, 2.72, 0.9)
            brush.light(x - 0.55, 2.32, x + 0.55, 2.72, (255, 206, 130))
        else:
            lit = rng.random() < 0.4
            _window(brush, x, 1.05, house, lit, _WARM[0], float(rng.uniform(0.5, 1.0)), rng)


def _weather(brush: _Brush, rng: np.random.Generator) -> None:
    """Streaks of rain and the darker foot of the wall: what makes paint look like a wall."""
    height, width = brush.paint.shape[:2]
    columns = cv2.GaussianBlur(rng.normal(1.0, 0.10, (1, width)).astype(np.float32), (0, 0), 6)
    foot = 1.0 - 0.22 * np.exp(-np.arange(height)[::-1] / (0.5 * TEXELS_PER_M))
    coarse = rng.normal(1.0, 0.05, (height // 60 + 2, width // 60 + 2)).astype(np.float32)
    blotches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    factor = columns * foot[:, None].astype(np.float32) * blotches
    brush.paint[:] = np.clip(brush.paint * factor[:, :, None], 0, 255)
