# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Draws a scene as the pin-hole camera sees it, farthest surface first (painter's algorithm).

A wall is drawn by the homography between its texture and the image, which is exact for a plane
seen by a pin-hole camera; no 3D library is needed and a 640x480 frame takes a few milliseconds.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.camera import CameraPose, PinholeCamera
from floppynet_vpr.synthetic.surfaces import CutOut, Facet, Scene, Sighting, Sky, Wall

VIEW_M = 115.0
"""Nothing farther along the street than this is drawn; the haze has swallowed it."""

BEHIND_M = 12.0
"""A surface whose reference end is this far behind may still reach into the picture."""

_SUBPIXEL_BITS = 4


class StreetRenderer:
    """One camera and one scene; `render` makes the picture seen from a pose."""

    def __init__(self, camera: PinholeCamera, scene: Scene) -> None:
        self.camera = camera
        self.scene = scene
        self._haze: dict[int, NDArray[np.uint8]] = {}

    def render(self, pose: CameraPose, along_m: float) -> NDArray[np.uint8]:
        """The picture (H, W, 3) uint8 RGB from `pose`, which stands `along_m` along the street."""
        canvas = draw_sky(self.camera, pose, self.scene.sky)
        reach = (along_m - BEHIND_M, along_m + VIEW_M)
        for layer in self.scene.layers():
            for sighting in layer.farthest_first(self.camera, pose, *reach):
                if isinstance(sighting.surface, Wall):
                    self._draw_wall(canvas, sighting.surface, sighting, pose)
                elif isinstance(sighting.surface, Facet):
                    colour = self._faded(sighting.surface.rgb, sighting.depth_m)
                    fill(canvas, sighting.outline, colour, cv2.LINE_AA)
                else:
                    self._draw_cut_out(canvas, sighting.surface, sighting)
        return canvas

    def _draw_wall(
        self, canvas: NDArray[np.uint8], wall: Wall, sighting: Sighting, pose: CameraPose
    ) -> None:
        box = picture_box(self.camera, *sighting.outline.min(axis=0), *sighting.outline.max(axis=0))
        if box is None:
            return
        left, top, right, bottom = box
        picture = wall.texture.picture
        if sighting.whole:
            picture = wall.texture.level(*_shrinkage(sighting.outline, picture.shape))
        height, width = picture.shape[:2]
        world = wall.from_texture
        to_image = self.camera.intrinsics @ (
            pose.rotation @ (world[:3] - pose.position[:, None] * world[3])
        )
        to_image[0] -= left * to_image[2]
        to_image[1] -= top * to_image[2]
        to_image[:, 2] += to_image[:, 0] * (0.5 / width) + to_image[:, 1] * (0.5 / height)
        to_image /= (width, height, 1)
        size = (right - left, bottom - top)
        flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        warped = cv2.warpPerspective(picture, to_image, size, flags=flags, borderMode=border)
        patch = np.asarray(warped, np.uint8)
        self._fade(patch, sighting.depth_m)
        mask = np.zeros((size[1], size[0]), np.uint8)
        fill(mask, sighting.outline - (left, top), 255)
        cv2.copyTo(patch, mask, canvas[top:bottom, left:right])

    def _draw_cut_out(self, canvas: NDArray[np.uint8], cut: CutOut, sighting: Sighting) -> None:
        placed = place_cut_out(self.camera, cut, sighting)
        if placed is None:
            return
        (left, top, right, bottom), patch = placed
        under = canvas[top:bottom, left:right]
        colour = np.ascontiguousarray(patch[:, :, :3], np.uint8)
        alpha = cv2.cvtColor(patch[:, :, 3], cv2.COLOR_GRAY2RGB)
        if cut.glowing:
            cv2.add(under, cv2.multiply(colour, alpha, scale=1 / 255), dst=under)
            return
        self._fade(colour, sighting.depth_m)
        over = cv2.multiply(colour, alpha, scale=1 / 255)
        cv2.add(cv2.multiply(under, 255 - alpha, scale=1 / 255), over, dst=under)

    def _faded(self, rgb: tuple[int, int, int], depth_m: float) -> list[float]:
        """A colour as it is seen through the haze."""
        share = 1.0 - 0.5 ** (depth_m / self.scene.haze_half_m)
        return [c + (h - c) * share for c, h in zip(rgb, self.scene.haze_rgb, strict=True)]

    def _fade(self, patch: NDArray[np.uint8], depth_m: float) -> None:
        """Blend a patch into the haze in place; one table for every two metres of depth will do."""
        step = round(depth_m / 2)
        if step < 5 or self.scene.haze_half_m == math.inf:
            return
        if step not in self._haze:
            ends = np.array([self._faded((c, c, c), step * 2.0) for c in range(256)])
            self._haze[step] = np.round(ends).astype(np.uint8).reshape(1, 256, 3)
        cv2.LUT(patch, self._haze[step], dst=patch)


def picture_box(
    camera: PinholeCamera, u0: float, v0: float, u1: float, v1: float
) -> tuple[int, int, int, int] | None:
    """The part of a rectangle that is in the picture, whole pixels: left, top, right, bottom."""
    left, top = max(int(np.floor(u0)), 0), max(int(np.floor(v0)), 0)
    right = min(int(np.ceil(u1)) + 1, camera.width)
    bottom = min(int(np.ceil(v1)) + 1, camera.height)
    return (left, top, right, bottom) if right > left and bottom > top else None


def place_cut_out(
    camera: PinholeCamera, cut: CutOut, sighting: Sighting
) -> tuple[tuple[int, int, int, int], NDArray[np.uint8]] | None:
    """Where in the picture a cut-out is, and what it shows there, RGBA; None if it is not drawn."""
    if sighting.depth_m < 1.0 or not sighting.whole:
        return None
    scale = camera.focal_px / sighting.depth_m
    u, v = sighting.outline[0].tolist()
    width, height = cut.width_m * scale, cut.height_m * scale
    box = picture_box(camera, u - width / 2, v - height, u + width / 2, v)
    if box is None:
        return None
    left, top, right, bottom = box
    full = cut.texture.picture
    picture = cut.texture.level(full.shape[1] / width, full.shape[0] / height)
    zoom_u, zoom_v = width / picture.shape[1], height / picture.shape[0]
    to_image = np.array(
        [
            [zoom_u, 0, u - width / 2 - left + 0.5 * zoom_u - 0.5],
            [0, zoom_v, v - height - top + 0.5 * zoom_v - 0.5],
        ]
    )
    size = (right - left, bottom - top)
    return box, np.asarray(cv2.warpAffine(picture, to_image, size, flags=cv2.INTER_LINEAR))


def _shrinkage(image: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[float, float]:
    """Texels per pixel, across and down, where a texture with these corners is seen largest."""
    a, b, c, d = image.tolist()
    across = max(math.dist(a, b), math.dist(d, c), 1.0)
    down = max(math.dist(a, d), math.dist(b, c), 1.0)
    return shape[1] / across, shape[0] / down


def fill(
    canvas: NDArray[np.uint8],
    outline: NDArray[np.float64],
    colour: float | list[float],
    edge: int = cv2.LINE_8,
) -> None:
    """Fill a convex outline (n, 2) given in pixels, to a sixteenth of a pixel."""
    fixed = np.clip(outline * (1 << _SUBPIXEL_BITS) + 0.5, -3e5, 3e5).astype(np.int32)
    cv2.fillConvexPoly(canvas, fixed, colour, edge, _SUBPIXEL_BITS)


def draw_sky(camera: PinholeCamera, pose: CameraPose, sky: Sky) -> NDArray[np.uint8]:
    """A new canvas with what is infinitely far; below the horizon its lowest row goes on.

    To the sides the panorama goes on mirrored, and so around.
    """
    bearing, elevation = _rays(camera)
    u = (sky.left_rad - pose.yaw + bearing) * np.float32(sky.per_rad)
    v = (np.float32(sky.top_rad) - elevation) * np.float32(sky.per_rad)
    v = np.clip(v, 0, len(sky.panorama) - 1).astype(np.float32)
    canvas = cv2.remap(sky.panorama, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(canvas, np.uint8)


@lru_cache(maxsize=4)
def _rays(camera: PinholeCamera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bearing (right positive) and elevation of every pixel's ray, in radians, (H, W) float32."""
    k = camera.intrinsics
    u = (np.arange(camera.width) - k[0, 2]) / camera.focal_px
    v = (np.arange(camera.height) - k[1, 2]) / camera.focal_px
    bearing = np.broadcast_to(np.arctan(u), (camera.height, camera.width))
    elevation = np.arctan2(-v[:, None], np.hypot(1.0, u)[None, :])
    return bearing.astype(np.float32), elevation.astype(np.float32)
