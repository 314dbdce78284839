# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Who stands where along the street: drawn once from a seed, as plain facts.

Distances are metres along the centre line and to its left; `side` is +1 for the left-hand row of
houses and -1 for the right-hand one. Nothing here knows about light or pictures, so two laps see
the same street.
"""

from dataclasses import dataclass, replace

import numpy as np

ROAD_HALF_M = 4.1
PAVEMENT_M = 2.7
FRONTAGE_M = ROAD_HALF_M + PAVEMENT_M
"""Distance of the building line from the middle of the road."""

Rgb = tuple[int, int, int]

_WALLS: dict[str, list[Rgb]] = {
    "brick": [(150, 78, 62), (128, 66, 54), (172, 112, 80), (186, 150, 112), (112, 72, 66)],
    "plaster": [
        (226, 206, 160), (214, 168, 138), (178, 200, 190), (232, 226, 212),
        (196, 176, 198), (168, 190, 212), (220, 186, 96), (204, 122, 104),
    ],
    "stone": [(176, 168, 152), (152, 150, 146), (198, 186, 160)],
    "modern": [(120, 130, 138), (214, 216, 214), (84, 92, 100), (160, 140, 118)],
}  # fmt: skip
_TRIMS: list[Rgb] = [(240, 238, 230), (90, 60, 44), (52, 58, 62), (226, 214, 190), (60, 84, 76)]
_ROOFS: list[Rgb] = [(126, 66, 50), (84, 84, 92), (104, 74, 58), (70, 76, 74)]
_SIGNS: list[Rgb] = [
    (30, 70, 120), (150, 34, 36), (28, 96, 64), (36, 36, 40),
    (214, 160, 40), (120, 56, 110), (232, 228, 214), (200, 92, 36),
]  # fmt: skip
_SHOPS = [
    "BAKERY", "BOOKS", "CAFE ROMA", "PHARMACY", "FLOWERS", "BICYCLES", "TAILOR", "RECORDS",
    "FISH & CHIPS", "HOTEL", "BANK", "OPTICIAN", "TOYS", "WINE BAR", "BARBER", "CAMERAS",
    "SHOES", "POST", "GROCER", "TEA ROOM", "PIZZERIA", "ANTIQUES", "HARDWARE", "MUSIC",
]  # fmt: skip
_PAINTS: list[Rgb] = [
    (176, 32, 34), (36, 62, 110), (208, 208, 206), (52, 54, 58),
    (138, 146, 150), (222, 184, 60), (46, 92, 70), (236, 236, 232), (120, 44, 60),
]  # fmt: skip

_TAKEN = 0.3
"""Share of the parking spots with a car in them."""


@dataclass(frozen=True)
class Building:
    """One house: its stretch of the street, its size and everything its facade is painted from."""

    side: int
    start_m: float
    end_m: float
    setback_m: float
    floors: int
    style: str
    wall: Rgb
    trim: Rgb
    roof: Rgb
    pitched: bool
    shop: str | None
    sign: Rgb
    window: str
    bay_m: float
    seed: int

    @property
    def height_m(self) -> float:
        """From the pavement to the eaves."""
        return 3.9 + 3.1 * (self.floors - 1) + 0.5


@dataclass(frozen=True)
class Standing:
    """Something that stands free: a tree, a lamp, a bin, a bush; `variant` tells its like apart."""

    kind: str
    along_m: float
    left_m: float
    height_m: float
    variant: int


@dataclass(frozen=True)
class ParkedCar:
    """A car at the kerb: the middle of its length, the side of the road, its shape and paint."""

    along_m: float
    side: int
    length_m: float
    height_m: float
    paint: Rgb


@dataclass(frozen=True)
class StreetLayout:
    """The whole street, `length_m` long."""

    length_m: float
    seed: int
    buildings: tuple[Building, ...]
    standing: tuple[Standing, ...]
    crossings_m: tuple[float, ...]


def join_ends(layout: StreetLayout) -> StreetLayout:
    """The street without what would stand in the way of its beginning, where it ends in itself."""
    begins = {
        side: min(house.start_m for house in layout.buildings if house.side == side)
        for side in (1, -1)
    }
    return replace(
        layout,
        buildings=tuple(
            house
            for house in layout.buildings
            if house.end_m <= layout.length_m + begins[house.side]
        ),
        standing=tuple(thing for thing in layout.standing if 0 <= thing.along_m < layout.length_m),
    )


def lay_out_street(length_m: float, seed: int) -> StreetLayout:
    """The street that belongs to the seed; the same arguments give the same street."""
    rng = np.random.default_rng([seed, 1])
    shops = list(rng.permutation(_SHOPS))
    buildings: list[Building] = []
    standing: list[Standing] = []
    for side in (1, -1):
        houses, gaps = _row_of_houses(rng, side, length_m, shops)
        buildings += houses
        standing += gaps
        standing += _kerbside(rng, side, length_m)
    crossings = tuple(float(m) for m in np.arange(24.0, length_m, 61.0) + rng.uniform(-6, 6))
    return StreetLayout(length_m, seed, tuple(buildings), tuple(standing), crossings)


def _row_of_houses(
    rng: np.random.Generator, side: int, length_m: float, shops: list[str]
) -> tuple[list[Building], list[Standing]]:
    houses: list[Building] = []
    greenery: list[Standing] = []
    along = -12.0 + float(rng.uniform(0, 6))
    while along < length_m:
        width = float(rng.uniform(7.5, 16.0))
        houses.append(_house(rng, side, along, width, shops, houses[-1] if houses else None))
        along += width
        if rng.random() < 0.38:
            gap = float(rng.uniform(2.5, 8.0))
            for _ in range(max(1, int(gap / 2.5))):
                spot = along + float(rng.uniform(0.3, 0.7)) * gap
                out = FRONTAGE_M + float(rng.uniform(1.5, 5.0))
                height = float(rng.uniform(3.0, 8.0))
                greenery.append(Standing("tree", spot, side * out, height, int(rng.integers(1000))))
            along += gap
    return houses, greenery


def _house(
    rng: np.random.Generator,
    side: int,
    along: float,
    width: float,
    shops: list[str],
    neighbour: Building | None,
) -> Building:
    style = str(rng.choice(["brick", "plaster", "plaster", "stone", "modern"]))
    wall = _pick(rng, _WALLS[style])
    while neighbour is not None and wall == neighbour.wall:
        style = str(rng.choice(["brick", "plaster", "stone", "modern"]))
        wall = _pick(rng, _WALLS[style])
    modern = style == "modern"
    return Building(
        side=side,
        start_m=along,
        end_m=along + width,
        setback_m=float(rng.choice([0.0, 0.0, 0.0, 0.7, 1.6])),
        floors=int(rng.choice([1, 2, 3, 3, 4, 5])),
        style=style,
        wall=wall,
        trim=_pick(rng, _TRIMS),
        roof=_pick(rng, _ROOFS),
        pitched=not modern and bool(rng.random() < 0.7),
        shop=shops[int(rng.integers(len(shops)))] if rng.random() < 0.62 else None,
        sign=_pick(rng, _SIGNS),
        window="band" if modern else str(rng.choice(["sash", "shutters", "arched", "casement"])),
        bay_m=float(rng.uniform(2.1, 3.4)),
        seed=int(rng.integers(2**31)),
    )


def _kerbside(rng: np.random.Generator, side: int, length_m: float) -> list[Standing]:
    """Lamps at even spacing, trees, bins and signs where chance puts them."""
    things: list[Standing] = []
    lamp_row = ROAD_HALF_M + 0.5
    for along in np.arange(9.0 if side > 0 else 22.0, length_m, 26.0):
        things.append(Standing("lamp", float(along), side * lamp_row, 5.6, 0))
    along = float(rng.uniform(3, 9))
    while along < length_m:
        kind = str(rng.choice(["tree", "tree", "bin", "post", "bush", "board"]))
        left = side * (ROAD_HALF_M + float(rng.uniform(0.7, 1.2)))
        height = {"tree": float(rng.uniform(4.2, 7.0)), "post": 2.7}.get(kind, 1.05)
        things.append(Standing(kind, along, left, height, int(rng.integers(1000))))
        along += float(rng.uniform(5.0, 15.0))
    return things


def park_cars(length_m: float, seed: int, moved: float = 0.0) -> tuple[ParkedCar, ...]:
    """The cars along the street; `moved` (0 to 1) of the spots have changed since the first lap."""
    before = np.random.default_rng([seed, 2])
    after = np.random.default_rng([seed, 3])
    change = np.random.default_rng([seed, 4])
    cars: list[ParkedCar] = []
    for side in (1, -1):
        for along in np.arange(4.0, length_m, 6.2):
            first, other = _spot(before, along, side), _spot(after, along, side)
            car = other if change.random() < moved else first
            if car is not None:
                cars.append(car)
    return tuple(cars)


def _spot(rng: np.random.Generator, along: float, side: int) -> ParkedCar | None:
    """The car in one spot, if any; draws as many numbers for an empty spot as for a taken one."""
    taken, van, shift, size, paint = rng.random(5)
    if taken > _TAKEN:
        return None
    return ParkedCar(
        along_m=float(along + 0.8 * (shift - 0.5)),
        side=side,
        length_m=4.9 if van < 0.2 else 3.7 + 0.8 * float(size),
        height_m=2.1 if van < 0.2 else 1.38 + 0.17 * float(size),
        paint=_PAINTS[int(paint * len(_PAINTS))],
    )


def _pick(rng: np.random.Generator, choices: list[Rgb]) -> Rgb:
    return choices[int(rng.integers(len(choices)))]
