# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Who recognised whose places: robots that drive one way at the same time, with one map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.evaluation.recording import RecordedAnswer
from floppynet_vpr.files import write_figure
from floppynet_vpr.stamps import SECOND_NS

_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#17becf")
_WRONG = "#d62728"


@dataclass(frozen=True)
class Recognition:
    """A loop closure that a robot detected.

    `seen` and `place` are numbers of images: of the one that was answered, of `by`, and of the one
    recognised, of `whose`. `off_m` is how far apart they were taken, `seconds` how long before the
    answer the place had been mapped, and `at_s` when the answer came.
    """

    by: str
    whose: str
    seen: int
    place: int
    off_m: float
    right: bool
    seconds: float
    at_s: float


@dataclass
class FleetResults:
    """What robots that share a map answered, held against where they were.

    `along_m` are the metres along the way at which each robot's images were taken, `stamps_ns`
    theirs; `tolerance_m` is how far a place may be from the image to be right. A way that ends
    where it began is `around_m` long, 0: it does not.
    """

    along_m: Mapping[str, NDArray[np.float64]]
    stamps_ns: Mapping[str, Sequence[int]]
    tolerance_m: float
    around_m: float
    recognitions: list[Recognition] = field(default_factory=list)
    answers: dict[str, dict[int, int]] = field(default_factory=dict)
    """When each robot's images were answered, nanoseconds, by the number of the image."""

    def __post_init__(self) -> None:
        """Know whose image has which stamp."""
        self.answers = {robot: {} for robot in self.stamps_ns}
        self._taken = {
            stamp: (robot, number)
            for robot, stamps in self.stamps_ns.items()
            for number, stamp in enumerate(stamps)
        }

    def add(self, robot: str, image: int, recorded: RecordedAnswer) -> Recognition | None:
        """Take in the answer to an image of a robot; returns what it recognised, if anything."""
        self.answers[robot][image] = recorded.arrived_ns
        found = self._taken.get(recorded.place_stamps_ns[0]) if recorded.answer.detected else None
        if found is None:
            return None
        whose, place = found
        off = abs(float(self.along_m[robot][image] - self.along_m[whose][place]))
        if self.around_m:
            off = min(off, self.around_m - off)
        began = min(first for times in self.answers.values() for first in times.values())
        mapped = self.answers[whose].get(place, recorded.arrived_ns)
        recognition = Recognition(
            robot,
            whose,
            image,
            place,
            off,
            off <= self.tolerance_m,
            (recorded.arrived_ns - mapped) / SECOND_NS,
            (recorded.arrived_ns - began) / SECOND_NS,
        )
        self.recognitions.append(recognition)
        return recognition

    def of(self, by: str, whose: str) -> list[Recognition]:
        """What one robot recognised of another's places."""
        return [one for one in self.recognitions if (one.by, one.whose) == (by, whose)]

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """A row for each robot and each whose places it could recognise.

        `seconds` are from the moment a place was mapped until it was recognised.
        """
        rows: list[dict[str, str | int | float | None]] = []
        for by in self.along_m:
            for whose in self.along_m:
                found = self.of(by, whose)
                waits = [one.seconds for one in found]
                rows.append(
                    {
                        "robot": by,
                        "recognised": whose,
                        "times": len(found),
                        "right": sum(one.right for one in found),
                        "wrong": sum(not one.right for one in found),
                        "least_seconds": min(waits, default=None),
                        "median_seconds": median(waits) if waits else None,
                    }
                )
        return rows

    def table(self) -> str:
        """The rows as text."""
        lines = [
            f"{'robot':<10} {'recognised':<10} {'times':>6} {'right':>6} {'wrong':>6} "
            f"{'s after mapping: least':>23} {'median':>7}"
        ]
        for row in self.rows():
            waits = [row["least_seconds"], row["median_seconds"]]
            least, middle = ("-" if wait is None else f"{wait:.1f}" for wait in waits)
            lines.append(
                f"{row['robot']:<10} {row['recognised']:<10} {row['times']:>6} {row['right']:>6} "
                f"{row['wrong']:>6} {least:>23} {middle:>7}"
            )
        return "\n".join(lines)


def draw_fleet(results: FleetResults, title: str, path: Path) -> None:
    """Draw when each robot was where, and whose places it recognised there, as a PNG file.

    Raises VprError when the disk does not take it.
    """
    from matplotlib.figure import Figure

    robots = list(results.along_m)
    colours = dict(zip(robots, _COLOURS * len(robots), strict=False))
    began = min(first for times in results.answers.values() for first in times.values())
    figure = Figure(figsize=(13, 4.8), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=13)
    panels = figure.subplots(1, len(robots), sharex=True, sharey=True, squeeze=False)[0]
    for robot, axes in zip(robots, panels, strict=True):
        for other in robots:
            images = sorted(results.answers[other])
            times = [(results.answers[other][image] - began) / SECOND_NS for image in images]
            mine = other == robot
            axes.plot(
                times,
                results.along_m[other][images],
                ".",
                markersize=1.5,
                color="0.35" if mine else colours[other],
                alpha=1.0 if mine else 0.5,
            )
            found = [one for one in results.of(robot, other) if one.right]
            where = [results.along_m[robot][one.seen] for one in found]
            label = f"{'itself' if mine else other}: {len(found)}"
            axes.plot([one.at_s for one in found], where, ".", color=colours[other], label=label)
        wrong = [one for one in results.recognitions if one.by == robot and not one.right]
        if wrong:
            where = [results.along_m[robot][one.seen] for one in wrong]
            label = f"wrong: {len(wrong)}"
            axes.plot([one.at_s for one in wrong], where, "x", color=_WRONG, label=label)
        axes.set_title(f"{robot} recognised", fontsize=11)
        axes.set_xlabel("seconds")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    panels[0].set_ylabel("metres along the way")
    write_figure(path, figure, bbox_inches="tight")
