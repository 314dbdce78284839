# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Daylight and dusk: how a painted surface, the sky and the camera's sensor turn into pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.layout import Rgb
from floppynet_vpr.synthetic.surfaces import Sky

_PER_RAD = 420.0
_TOP_RAD = 0.75
SPAN_RAD = 2.6
"""As much of the sky as is seen along a street that goes one way."""

_DROPS = 350


@dataclass(frozen=True)
class Light:
    """One time of the day.

    `sunlit`, `shaded`, `level`: factors per colour channel for walls that face the sun, walls
    that do not and the ground; `lamps`: 0 to 1, how much of windows, signs and lamps glows;
    `gamma` of the exposure, > 1 darkens the middle tones; `noise`: standard deviation of the
    sensor's noise in grey levels; `rain`: 0 to 1, how densely it falls.
    """

    sunlit: tuple[float, float, float]
    shaded: tuple[float, float, float]
    level: tuple[float, float, float]
    zenith: Rgb
    horizon: Rgb
    cloud: Rgb
    haze: Rgb
    haze_half_m: float
    shadow: float
    lamps: float
    gamma: float
    gain: float
    noise: float
    rain: float = 0.0

    def on(
        self,
        paint: NDArray[np.uint8],
        factor: tuple[float, float, float],
        glow: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """A painted picture (H, W, 3) as this light shows it, with the `glow` of its own lamps."""
        lit = cv2.multiply(paint, np.array([*factor, 0.0]), scale=1.0)
        if glow is not None and self.lamps > 0:
            lit = cv2.add(lit, cv2.multiply(glow, np.full(4, self.lamps)))
        return np.asarray(lit, np.uint8)

    def on_colour(self, paint: Rgb, factor: tuple[float, float, float]) -> Rgb:
        """One colour as this light shows it."""
        r, g, b = (min(255, round(c * f)) for c, f in zip(paint, factor, strict=True))
        return r, g, b


DAY = Light(
    sunlit=(1.20, 1.15, 1.04), shaded=(0.72, 0.75, 0.82), level=(1.12, 1.10, 1.04),
    zenith=(86, 138, 204), horizon=(196, 216, 232), cloud=(250, 250, 250),
    haze=(196, 208, 218), haze_half_m=230.0, shadow=0.48, lamps=0.0,
    gamma=1.0, gain=1.0, noise=2.0,
)  # fmt: skip
DUSK = Light(
    sunlit=(0.46, 0.42, 0.52), shaded=(0.50, 0.46, 0.54), level=(0.44, 0.42, 0.52),
    zenith=(44, 52, 98), horizon=(232, 146, 98), cloud=(150, 96, 112),
    haze=(136, 108, 112), haze_half_m=150.0, shadow=0.0, lamps=1.0,
    gamma=1.12, gain=1.05, noise=6.0,
)  # fmt: skip
RAIN = Light(
    sunlit=(0.66, 0.68, 0.72), shaded=(0.60, 0.62, 0.67), level=(0.55, 0.57, 0.62),
    zenith=(122, 128, 136), horizon=(170, 174, 178), cloud=(142, 146, 152),
    haze=(162, 167, 172), haze_half_m=80.0, shadow=0.0, lamps=0.3,
    gamma=1.0, gain=1.0, noise=4.0, rain=1.0,
)  # fmt: skip


def paint_sky(light: Light, seed: int, span_rad: float = SPAN_RAD) -> Sky:
    """The sky of that light, with its own clouds, and the skyline behind the street's end.

    Beyond `span_rad` it goes on mirrored: of half a turn it closes.
    """
    height, width = int(_TOP_RAD * _PER_RAD), int(span_rad * _PER_RAD)
    rise = np.linspace(1.0, 0.0, height)[:, None, None]
    sky = np.array(light.horizon) + (np.array(light.zenith) - np.array(light.horizon)) * (
        1 - (1 - rise) ** 1.8
    )
    cover = _clouds(height, width, np.random.default_rng([seed, 3, round(light.lamps * 10)]))
    cover *= np.clip(np.linspace(1.25, 0.15, height), 0, 1)[:, None]
    sky = sky + (np.array(light.cloud) - sky) * cover[:, :, None]
    painted = np.clip(np.broadcast_to(sky, (height, width, 3)), 0, 255).astype(np.uint8)
    _paint_skyline(painted, light, seed)
    return Sky(np.ascontiguousarray(painted), span_rad / 2, _TOP_RAD, _PER_RAD)


def _clouds(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Cover between 0 and 1, (H, W): octaves of smooth noise, wider than high."""
    total = np.zeros((height, width))
    for octave in range(1, 7):
        cells = 2**octave
        grid = rng.random((cells + 1, cells * 2 + 1)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    total = (total - total.min()) / np.ptp(total)
    return np.asarray(np.clip((total - 0.48) * 3.2, 0, 1) ** 1.2 * 0.9)


def _paint_skyline(painted: NDArray[np.uint8], light: Light, seed: int) -> None:
    """Hills, far blocks and one church spire, half drowned in haze."""
    rng = np.random.default_rng([seed, 4])
    height, width = painted.shape[:2]
    haze = np.array(light.haze)
    base = np.array(light.on_colour((104, 116, 120), light.shaded))
    for share, tallest, narrow, wide in ((0.30, 0.075, 40, 110), (0.55, 0.055, 16, 44)):
        tone = tuple(float(c) for c in base * share + haze * (1 - share))
        u = 0
        while u < width:
            span = int(rng.integers(narrow, wide))
            top = height - int(rng.uniform(0.25, 1.0) * tallest * _PER_RAD)
            cv2.rectangle(painted, (u, top), (u + span, height), tone, -1)
            u += span
    spire = width // 2 + int(rng.integers(-40, 40))
    tone = tuple(float(c) for c in base * 0.7 + haze * 0.3)
    tip = height - int(0.155 * _PER_RAD)
    cv2.rectangle(painted, (spire - 8, tip + 34), (spire + 8, height), tone, -1)
    cv2.fillConvexPoly(
        painted, np.array([[spire - 10, tip + 34], [spire + 10, tip + 34], [spire, tip]]), tone
    )


class Sensor:
    """The camera's chip: exposure, a slightly soft lens, vignetting and noise.

    The noise of a frame depends on the frame's number alone, so a lap can be rendered from any
    frame on.
    """

    def __init__(self, light: Light, width: int, height: int, seed: int) -> None:
        levels = np.clip(np.arange(256) / 255 * light.gain, 0, 1) ** light.gamma
        self._curve = np.round(levels * 255).astype(np.uint8)
        u = np.linspace(-1, 1, width)[None, :]
        v = np.linspace(-1, 1, height)[:, None]
        vignette = 1.0 - 0.16 * (u**2 + v**2) / 2
        self._vignette = np.repeat((vignette * 255).astype(np.uint8)[:, :, None], 3, axis=2)
        self._seed = seed
        self._drops = round(_DROPS * light.rain)
        rng = np.random.default_rng([seed, 5])
        pool = rng.normal(0.0, light.noise, (height + 64, width + 64, 3))
        self._noise = np.round(pool).astype(np.int16)

    def expose(self, scene: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
        """The frame (H, W, 3) uint8 that the chip delivers of an ideal picture."""
        height, width = scene.shape[:2]
        rng = np.random.default_rng([self._seed, 6, frame])
        du, dv = rng.integers(0, 64, 2)
        soft = cv2.GaussianBlur(_rained_on(scene, self._drops, rng), (3, 3), 0.55)
        dimmed = cv2.multiply(cv2.LUT(soft, self._curve), self._vignette, scale=1 / 255)
        noise = self._noise[dv : dv + height, du : du + width]
        return np.asarray(cv2.add(dimmed, noise, dtype=cv2.CV_8U), np.uint8)


def _rained_on(scene: NDArray[np.uint8], drops: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The scene (H, W, 3) behind so many falling drops, each a bright streak."""
    if not drops:
        return scene
    height, width = scene.shape[:2]
    streaks = scene.copy()
    for u, v, near in rng.random((drops, 3)):
        start = round(u * width), round(v * height)
        end = start[0] + round(2 * near), start[1] + round((0.02 + 0.06 * near) * height)
        cv2.line(streaks, start, end, (206, 210, 214), 1 if near < 0.85 else 2, cv2.LINE_AA)
    return np.asarray(cv2.addWeighted(streaks, 0.45, scene, 0.55, 0.0), np.uint8)
