# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a street is made of for the renderer: textured walls, plain facets, cut-out pictures.

Every surface carries `along_m`, its place in the order along the street. The painter's algorithm
draws the ground first and then by descending `along_m`, which is a correct order because things
in a street do not cross each other: a wall takes its far end, what stands before a wall its near
end.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.camera import (
    NEAR_M,
    CameraPose,
    PinholeCamera,
    clip_near,
    to_optical,
)

_COARSEST_LEVEL = 4


class Texture:
    """A picture that can be read at half resolutions, each axis by itself (a rip-map).

    A facade seen along the street shrinks far more in width than in height; reading it at a
    suitable resolution in both directions keeps its windows from flickering.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        """`picture`: (H, W, 3 or 4) uint8 RGB(A)."""
        self.picture = picture
        self._levels: dict[tuple[int, int], NDArray[np.uint8]] = {(0, 0): picture}

    def level(self, shrink_u: float, shrink_v: float) -> NDArray[np.uint8]:
        """The picture reduced by the largest powers of two that are <= shrink_u and <= shrink_v."""
        key = (_level(shrink_u, self.picture.shape[1]), _level(shrink_v, self.picture.shape[0]))
        if key not in self._levels:
            height, width = self.picture.shape[:2]
            size = (max(1, width >> key[0]), max(1, height >> key[1]))
            self._levels[key] = np.asarray(
                cv2.resize(self.picture, size, interpolation=cv2.INTER_AREA), np.uint8
            )
        return self._levels[key]


def _level(shrink: float, size: int) -> int:
    wanted = int(np.log2(max(shrink, 1.0)))
    return min(wanted, _COARSEST_LEVEL, max(size.bit_length() - 2, 0))


@dataclass(frozen=True, eq=False)
class Wall:
    """A flat four-sided surface that wears a texture.

    `corners`: (4, 3) world metres; they belong to the texture's top left, top right, bottom right
    and bottom left corners. From `until_m` metres on it is left out.
    """

    corners: NDArray[np.float64]
    texture: Texture
    along_m: float
    until_m: float = math.inf

    @cached_property
    def from_texture(self) -> NDArray[np.float64]:
        """(4, 3): homogeneous world point of a texture point (u, v, 1) with u, v from 0 to 1."""
        origin = self.corners[3]
        right = self.corners[2] - origin
        right /= np.linalg.norm(right)
        up = self.corners[0] - origin
        up -= right * (up @ right)
        up /= np.linalg.norm(up)
        basis = np.stack([right, up], axis=1)
        flat = ((self.corners - origin) @ basis).astype(np.float32)
        unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
        in_plane = cv2.getPerspectiveTransform(unit, flat)
        lift = np.zeros((4, 3))
        lift[:3, :2] = basis
        lift[:3, 2] = origin
        lift[3, 2] = 1.0
        return np.asarray(lift @ in_plane)


@dataclass(frozen=True, eq=False)
class Facet:
    """A flat convex polygon of one colour, (n, 3) world metres, seen from both sides.

    A small one is left out from `until_m` metres on.
    """

    corners: NDArray[np.float64]
    rgb: tuple[int, int, int]
    along_m: float
    until_m: float = math.inf


@dataclass(frozen=True, eq=False)
class CutOut:
    """A picture with transparency that stands upright at `foot` and always faces the camera.

    `texture` is (H, W, 4) uint8 RGBA; `foot` (3,) world metres is the middle of its lower edge;
    `glowing` adds its light to what is behind it instead of covering it.
    """

    foot: NDArray[np.float64]
    width_m: float
    height_m: float
    texture: Texture
    along_m: float
    glowing: bool = False


Surface = Wall | Facet | CutOut


@dataclass(frozen=True, eq=False)
class Sky:
    """A cylinder infinitely far away.

    `panorama`: (H, W, 3) uint8 RGB; column 0 looks `left_rad` to the left of world x, the columns
    run to the right; row 0 is at `top_rad` elevation, the last row at the horizon; `per_rad`
    pixels a radian.
    """

    panorama: NDArray[np.uint8]
    left_rad: float
    top_rad: float
    per_rad: float


class Scene:
    """Everything there is to see, in the order in which it has to be drawn.

    `haze_rgb` is what distance fades to, half of it gone after `haze_half_m` metres.
    """

    def __init__(
        self,
        sky: Sky,
        ground: list[Surface],
        standing: list[Surface],
        haze_rgb: tuple[int, int, int] = (0, 0, 0),
        haze_half_m: float = math.inf,
    ) -> None:
        """`ground` lies flat and is drawn before anything of `standing`."""
        self.sky = sky
        self.haze_rgb = haze_rgb
        self.haze_half_m = haze_half_m
        self._ground, self._standing = Layer(ground), Layer(standing)

    def layers(self) -> tuple["Layer", "Layer"]:
        """What is drawn first and what after it."""
        return self._ground, self._standing


class Layer:
    """Surfaces sorted along the street, with all their corners in one array.

    One matrix product moves the corners of everything in reach into the camera's frame, and what
    is out of the picture is dropped before any of it is drawn.
    """

    def __init__(self, surfaces: list[Surface]) -> None:
        self.surfaces = sorted(surfaces, key=lambda surface: surface.along_m)
        outlines = [_outline(surface) for surface in self.surfaces]
        self._along = np.array([surface.along_m for surface in self.surfaces])
        self._until_m = np.array([getattr(s, "until_m", math.inf) for s in self.surfaces])
        self._first = np.cumsum([0, *(len(outline) for outline in outlines)])
        self._corners = np.concatenate(outlines) if outlines else np.zeros((0, 3))

    def farthest_first(
        self, camera: PinholeCamera, pose: CameraPose, near_m: float, far_m: float
    ) -> Iterator["Sighting"]:
        """What may be seen of the surfaces with near_m <= along_m < far_m, farthest first."""
        low, high = (int(i) for i in np.searchsorted(self._along, [near_m, far_m]))
        if low == high:
            return
        bounds = self._first[low : high + 1] - self._first[low]
        starts = bounds[:-1]
        optical = to_optical(self._corners[self._first[low] : self._first[high]], pose)
        depth = optical[:, 2]
        tangent = camera.width / 2 / camera.focal_px + 0.01
        seen = (
            (np.maximum.reduceat(depth, starts) > NEAR_M)
            & (np.maximum.reduceat(optical[:, 0] + tangent * depth, starts) > 0)
            & (np.minimum.reduceat(optical[:, 0] - tangent * depth, starts) < 0)
        )
        nearest = np.minimum.reduceat(depth, starts)
        mean_depth = np.add.reduceat(depth, starts) / np.diff(bounds)
        seen &= mean_depth < self._until_m[low:high]
        image = camera.project_optical(np.maximum(optical, [-np.inf, -np.inf, NEAR_M]))
        for i in np.flatnonzero(seen)[::-1].tolist():
            part = slice(bounds[i], bounds[i + 1])
            outline, depth_m = image[part], float(mean_depth[i])
            whole = bool(nearest[i] >= NEAR_M)
            if not whole:
                clipped = clip_near(optical[part])
                outline, depth_m = camera.project_optical(clipped), float(clipped[:, 2].mean())
            yield Sighting(self.surfaces[low + i], outline, depth_m, whole)


class Sighting(NamedTuple):
    """A surface in front of the camera.

    `outline`: its corners (n, 2) in the image, in pixels, less what is behind the camera;
    `depth_m`: their mean depth; `whole`: nothing was behind the camera, so the outline has the
    surface's own corners.
    """

    surface: Surface
    outline: NDArray[np.float64]
    depth_m: float
    whole: bool


def _outline(surface: Surface) -> NDArray[np.float64]:
    if isinstance(surface, CutOut):
        half = surface.width_m / 2
        around = [[0, 0, 0], [half, 0, 0], [-half, 0, 0], [0, half, 0], [0, -half, 0]]
        return surface.foot + np.array(around)
    return surface.corners
