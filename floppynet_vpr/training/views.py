# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Training pictures: views of an image from elsewhere, in other light and weather.

A whole batch is made at once. All chance comes from one generator, so a step of a run is the same
whenever it is taken.
"""

from __future__ import annotations

from functools import cache, lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional

from floppynet_vpr.training.recipe import Views

_CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
_LUMA = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
_COLOUR_SWAY = 0.35
_SWAY = 0.1  # of a region's side, to which a camera that goes ahead misses the middle


def make_views(
    images: Tensor, recipe: Views, count: int, chance: Generator, regions: int = 1
) -> list[Tensor]:
    """Make `count` views of each region: (n, 3, H, W) of 0 to 255 -> (regions n, 3, side, side).

    Of (count, n, 3, H, W) each view looks at an image of its own: one place, seen several times.

    The first region of all images comes first. A further one is what a camera sees that went on
    towards the middle of the one before. All views of a region show the same part of the image,
    mirrored or not alike; each has a viewpoint and a light of its own. Pixels stay whole numbers,
    which bfloat16 holds exactly.
    """
    sources = images if images.ndim == 5 else images.expand(count, *images.shape)
    places = sources.shape[1]
    low, high = recipe.zoom
    half = _uniform(chance, places, low, high)
    centre = _pairs(chance, places) * (1 - half)[:, None, None]
    mirror = torch.ones(places)
    if recipe.flip:
        mirror = torch.where(torch.rand(places, generator=chance) < 0.5, 1.0, -1.0)
    half, centre = _go_ahead(half, centre, regions, recipe.advance, chance)
    mirror = mirror.repeat(regions)
    batch = places * regions
    shift = torch.tensor(recipe.shift)
    views = []
    for source in sources:
        corners = _CORNERS.expand(batch, 4, 2).clone()
        corners[..., 0] *= mirror[:, None]
        corners = corners * half[:, None, None]
        moved = _pairs(chance, batch) * 2 * shift
        bent = _uniform(chance, batch * 8, -1, 1).reshape(batch, 4, 2) * 2 * recipe.perspective
        corners = centre + corners + (moved + bent) * half[:, None, None]
        view = _warp(
            source.repeat(regions, 1, 1, 1), corners, recipe.side, _parallax(half, recipe, chance)
        )
        if recipe.light:
            view = change_light(view, recipe.light, chance)
        if recipe.blur:
            _lose_detail(view, recipe.blur, chance)
        views.append(view.round_().clamp_(0, 255))
    return views


def _go_ahead(
    half: Tensor, centre: Tensor, regions: int, advance: float, chance: Generator
) -> tuple[Tensor, Tensor]:
    """Half sides and centres of all regions of images, from those of the first, (n,), (n, 1, 2)."""
    halves, centres = [half], [centre]
    for _ in range(1, regions):
        half = half * (1 - advance * _uniform(chance, len(half), 0.5, 1))
        centre = centre + _pairs(chance, len(half)) * _SWAY * half[:, None, None]
        halves.append(half)
        centres.append(centre)
    return torch.cat(halves), torch.cat(centres)


def _lose_detail(views: Tensor, share: float, chance: Generator) -> None:
    """Reduce some of the views, (batch, 3, H, W), to a half to a sixth of their size and back."""
    height, width = views.shape[2:]
    for part in _chosen(len(views), share, chance).split(6):
        by = int(torch.randint(2, 7, (1,), generator=chance))
        size = (round(height / by), round(width / by))
        reduced = functional.interpolate(views[part], size, mode="area")
        views[part] = spread(reduced, height, width)


def _parallax(half: Tensor, recipe: Views, chance: Generator) -> Tensor | None:
    """Draw how far each pixel is moved, (batch, side, side, 2) x and y: near things move furthest.

    A camera that moves sees the world move one way, by a distance that varies smoothly.
    """
    if not recipe.parallax:
        return None
    batch = len(half)
    nearness = torch.randn(batch, 1, 4, 4, generator=chance)
    way = torch.randn(batch, 2, 1, 1, generator=chance) * torch.tensor([1.0, 0.4])[:, None, None]
    moved = nearness * way * (2 * recipe.parallax) * half[:, None, None, None]
    return spread(moved, recipe.side, recipe.side).permute(0, 2, 3, 1)


def _warp(images: Tensor, corners: Tensor, side: int, moved: Tensor | None) -> Tensor:
    """Look at the quadrilateral with these corners, (batch, 4, 2) x and y of -1 to 1.

    `moved` is added to where each pixel looks, (batch, side, side, 2).
    """
    batch = len(images)
    # Homography from the view's square to the corners: 8 equations for 8 unknowns.
    square = _CORNERS.expand(batch, 4, 2)
    x, y = square[..., 0], square[..., 1]
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    u, v = corners[..., 0], corners[..., 1]
    for_u = torch.stack([x, y, one, zero, zero, zero, -x * u, -y * u], -1)
    for_v = torch.stack([zero, zero, zero, x, y, one, -x * v, -y * v], -1)
    solved = torch.linalg.solve(torch.cat([for_u, for_v], 1), torch.cat([u, v], 1))
    homography = torch.cat([solved, torch.ones(batch, 1)], 1).reshape(batch, 3, 3)
    steps = (torch.arange(side) * 2 + 1) / side - 1
    # Each of the three rows times (column, row, 1), summed by broadcasting: three small products.
    across, down, ahead = homography[..., None].unbind(2)
    seen = (across * steps)[:, :, None, :] + (down * steps + ahead)[:, :, :, None]
    grid = torch.stack([seen[:, 0] / seen[:, 2], seen[:, 1] / seen[:, 2]], -1)
    if moved is not None:
        grid = grid + moved
    return functional.grid_sample(
        images, grid, "bilinear", padding_mode="reflection", align_corners=False
    )


def change_light(images: Tensor, strength: float, chance: Generator) -> Tensor:
    """Imitate night, exposure, casts, uneven light, snow, rain and sensor noise.

    (batch, 3, H, W) of 0 to 255, in and out; not clipped. `strength` is 0 to 1.
    """
    batch, _, height, width = images.shape

    def each(low: float, high: float) -> Tensor:
        return _uniform(chance, batch, low, high).reshape(batch, 1, 1, 1)

    def some(share: float) -> Tensor:
        return (torch.rand(batch, generator=chance) < share).float().reshape(batch, 1, 1, 1)

    x = (images / 255).clamp_(1e-3, 1)
    # Another season turns the brightness of things round: leaves, grass, snow.
    luma = _LUMA + torch.randn(batch, 3, 1, 1, generator=chance) * (_COLOUR_SWAY * strength)
    luma = luma + (1 - luma.sum(1, keepdim=True)) / 3
    grey = (x * luma).sum(1, keepdim=True).clamp_(1e-3, 1)
    x.lerp_(grey, each(0, strength)).pow_(torch.exp(each(-0.7, 1.1) * strength))
    # What comes to x -> gain * x + veil is gathered in coarse fields first: it is cheaper.
    gain = 1 + _uniform(chance, batch * 3, -0.35, 0.35).reshape(batch, 3, 1, 1) * strength
    gain = gain * torch.exp(torch.randn(batch, 1, 4, 4, generator=chance) * each(0, 0.9) * strength)
    x.mul_(spread(gain, height, width))
    # Snow on the ground, fog or glare.
    veil = torch.randn(batch, 1, 4, 4, generator=chance).mul_(1.5).clamp_(0, 1)
    veil = spread(veil * some(0.3) * each(0.2, 0.9) * strength, height, width)
    x.mul_(1 - veil).add_(veil * each(0.55, 1.0))
    # Night: little light everywhere, a few lamps; and any contrast around the mean.
    night = some(0.4) * strength
    lamps = torch.randn(batch, 1, 9, 9, generator=chance).sub_(1.1).clamp_(0, 1)
    contrast = torch.exp(each(-0.6, 0.4) * strength)
    dimmed = (1 - night * each(0.4, 0.92)) * contrast
    mean = x.mean((2, 3), keepdim=True) * (dimmed / contrast - dimmed)
    added = spread(lamps * each(0, 1.5) * night * contrast, height, width)
    # Rain or flakes: sparse bright specks, drawn out downwards.
    wet = _chosen(batch, 0.15, chance)
    specks = torch.rand(len(wet), 1, height, width, generator=chance).lt_(0.004)
    rain = functional.max_pool2d(specks, (5, 1), 1, (2, 0))
    added.index_add_(0, wet, rain, alpha=0.4 * strength)
    noise = _noise(x.shape, chance) * (each(0, 0.05) * strength)
    return x.mul_(dimmed).add_(mean).add_(added).add_(noise).mul_(255)


def spread(nodes: Tensor, height: int, width: int) -> Tensor:
    """Interpolate a coarse field, (batch, channels, rows, columns), to full size, bilinearly."""
    rows, columns = nodes.shape[2:]
    return _between(rows, height) @ (nodes @ _between(columns, width).T)


@cache
def _between(nodes: int, size: int) -> Tensor:
    """Weights of the nodes for each of `size` pixels, the first and last on a node: (size, nodes).

    Products with these are several times faster than torch's interpolation of so few nodes.
    """
    places = torch.linspace(0, nodes - 1, size)[:, None]
    return (1 - (places - torch.arange(nodes)).abs()).clamp_(min=0)


def _noise(shape: torch.Size, chance: Generator) -> Tensor:
    """Normal noise, cut anywhere out of a stock: drawing it anew takes longer than all else."""
    count = shape.numel()
    start = int(torch.randint(count, (1,), generator=chance))
    return _noise_stock(2 * count)[start : start + count].view(shape)


@lru_cache(4)
def _noise_stock(count: int) -> Tensor:
    return torch.randn(count, generator=Generator().manual_seed(0))


def _chosen(batch: int, share: float, chance: Generator) -> Tensor:
    """Draw a share of the pictures of a batch: (round(batch * share),) indices."""
    return torch.randperm(batch, generator=chance)[: round(batch * share)]


def _pairs(chance: Generator, count: int) -> Tensor:
    """Draw (count, 1, 2) values of -1 to 1."""
    return _uniform(chance, count * 2, -1, 1).reshape(count, 1, 2)


def _uniform(chance: Generator, count: int, low: float, high: float) -> Tensor:
    return torch.rand(count, generator=chance) * (high - low) + low
