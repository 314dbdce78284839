# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How far away is what the renderer draws: the same surfaces in the same order, as depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.synthetic.camera import NEAR_M, CameraPose, PinholeCamera, to_optical
from floppynet_vpr.synthetic.renderer import (
    BEHIND_M,
    VIEW_M,
    fill,
    picture_box,
    place_cut_out,
)
from floppynet_vpr.synthetic.surfaces import CutOut, Facet, Scene, Sighting, Wall

_OPAQUE = 128


def render_depth(
    camera: PinholeCamera, scene: Scene, pose: CameraPose, along_m: float
) -> NDArray[np.float32]:
    """The depth (H, W) float32 of each pixel from `pose`: metres along the optical axis.

    It is that of the ray through the pixel's centre, exactly. The sky is not a number; light that
    shines through has no depth of its own.
    """
    depth = np.full((camera.height, camera.width), np.nan, np.float32)
    reach = (along_m - BEHIND_M, along_m + VIEW_M)
    for layer in scene.layers():
        for sighting in layer.farthest_first(camera, pose, *reach):
            if isinstance(sighting.surface, CutOut):
                _draw_cut_out(depth, camera, sighting.surface, sighting)
            else:
                _draw_plane(depth, camera, sighting.surface, sighting, pose)
    return depth


def _draw_plane(
    depth: NDArray[np.float32],
    camera: PinholeCamera,
    surface: Wall | Facet,
    sighting: Sighting,
    pose: CameraPose,
) -> None:
    outline = sighting.outline
    box = picture_box(camera, *outline.min(axis=0), *outline.max(axis=0))
    if box is None:
        return
    left, top, right, bottom = box
    corners = to_optical(surface.corners, pose)
    ahead = np.roll(corners, -1, axis=0)
    normal = np.cross(corners, ahead).sum(axis=0)  # of any flat polygon (Newell)
    k = camera.intrinsics
    x = (np.arange(left, right) - k[0, 2]) / camera.focal_px
    y = (np.arange(top, bottom) - k[1, 2]) / camera.focal_px
    slope = normal[0] * x[None] + normal[1] * y[:, None] + normal[2]
    mask = np.zeros(slope.shape, np.uint8)
    fill(mask, outline - (left, top), 255)
    # Seen edge-on, at the rim of a surface, a ray may miss its plane.
    z = (normal @ corners.mean(axis=0)) / np.where(slope == 0, np.inf, slope)
    nearest, farthest = max(corners[:, 2].min(), NEAR_M), corners[:, 2].max()
    part = depth[top:bottom, left:right]
    inside = mask > 0
    part[inside] = np.clip(z, nearest, farthest)[inside]


def _draw_cut_out(
    depth: NDArray[np.float32], camera: PinholeCamera, cut: CutOut, sighting: Sighting
) -> None:
    placed = None if cut.glowing else place_cut_out(camera, cut, sighting)
    if placed is None:
        return
    (left, top, right, bottom), patch = placed
    depth[top:bottom, left:right][patch[:, :, 3] >= _OPAQUE] = sighting.depth_m
