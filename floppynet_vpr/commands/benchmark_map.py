# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmark_map`: what each map storage costs in right matches, time and memory."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from floppynet_vpr.commands.common import (
    UnusableFrames,
    add_extractor_options,
    add_force_option,
    add_strict_option,
    at_least,
    command,
    make_parser,
    progress,
    require_new,
)
from floppynet_vpr.files import user_path

if TYPE_CHECKING:
    from floppynet_vpr.evaluation.judgement import Judgement
    from floppynet_vpr.evaluation.storage_benchmark import Growth, SyntheticPlaces

_SIZES = (1_000, 10_000, 100_000)
_FEWEST_REAL = 50


def build_parser() -> argparse.ArgumentParser:
    from floppynet_vpr.mapping import STORAGES

    parser = make_parser(
        "benchmark_map",
        "Compare the storages of a map: bytes a place, right matches on pairs of traverses "
        "(S_P100 and the recall at 100 % precision), and search time, recall@1 against exact "
        "search and memory as a map grows, and what the node's detector takes for a descriptor "
        "(tolerant matching, filter, verification of cells). Large maps are synthetic, made of the "
        "real descriptors with noise; queries are such places seen again at the distance of real "
        "right matches. "
        "Without --set the descriptors are those of the package's own synthetic route. Searches "
        "use one thread; cpu leaves out what other programs took.",
        "  ros2 run floppynet_vpr benchmark_map --set gardens/night_right gardens/day_right 2 1\n"
        "  ros2 run floppynet_vpr benchmark_map --set winter summer 1 4 --places 1000 1000000 "
        "--storage binary --markdown --figure growth.png",
    )
    parser.add_argument(
        "--set",
        nargs=4,
        action="append",
        default=[],
        dest="sets",
        metavar=("QUERY", "REFERENCE", "TOLERANCE", "EVERY"),
        help="two folders, videos or bags whose frames of the same number show the same place, "
        "within TOLERANCE frames, after taking every EVERY-th; may be repeated",
    )
    parser.add_argument(
        "--storage",
        nargs="+",
        choices=tuple(STORAGES),
        default=list(STORAGES),
        metavar="NAME",
        help=f"storages to compare, of {', '.join(STORAGES)}",
    )
    parser.add_argument(
        "--places",
        nargs="*",
        type=at_least(2),
        default=list(_SIZES),
        metavar="N",
        help="sizes of the synthetic maps; a map of more than half the free memory is left out",
    )
    parser.add_argument(
        "--queries", type=at_least(1), default=200, metavar="N", help="searches per size"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument(
        "--json", type=user_path, metavar="FILE", help="write everything there, too"
    )
    parser.add_argument(
        "--figure",
        type=user_path,
        metavar="FILE",
        help="draw search time over size (png, svg, pdf)",
    )
    add_strict_option(parser)
    add_force_option(parser)
    add_extractor_options(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.evaluation.storage_benchmark import accuracy
    from floppynet_vpr.mapping import ReferenceMap

    for output in (arguments.json, arguments.figure):
        if output is not None:
            require_new(output, arguments.force)
    sets, real = _descriptors(arguments)
    growth = _grow(arguments, real)
    report = [
        {
            "storage": storage,
            "bytes_per_place": ReferenceMap("", "", storage).bytes_per_place,
            "accuracy": {name: accuracy(storage, *pair) for name, pair in sets.items()},
            "growth": growth[storage],
        }
        for storage in arguments.storage
    ]
    _print_table(report, arguments.markdown)
    if arguments.json:
        _write_json(arguments.json, report)
    if arguments.figure:
        _draw(arguments.figure, growth)
        print(f"wrote {arguments.figure}", file=sys.stderr)
    return 0


def _descriptors(arguments: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    """Queries, references and truth of every set; also all descriptors together."""
    import numpy as np

    from floppynet_vpr.datasets.frames import decoded, noted
    from floppynet_vpr.datasets.ground_truth import same_place_by_index
    from floppynet_vpr.datasets.sources import open_source
    from floppynet_vpr.errors import VprError
    from floppynet_vpr.extraction import create_extractor
    from floppynet_vpr.synthetic.route import FIRST_LAP, SyntheticRoute

    extractor = create_extractor(arguments.weights, arguments.backend, arguments.threads)

    unusable = UnusableFrames()

    def describe(frames: Any, label: str) -> Any:
        rows = [extractor.describe(frame.rgb) for frame in progress(frames, label=label)]
        if not rows:
            raise VprError(f"{label} has no frame that can be used")
        return np.stack(rows)

    sets = {}
    for query, reference, tolerance, every in arguments.sets:
        if not (tolerance.isdigit() and every.isdigit() and int(every)):
            raise VprError(f"--set takes whole numbers, not '{tolerance}' and '{every}'")
        sources = [open_source(user_path(path), every=int(every)) for path in (query, reference)]
        found, used = [], [list[int](), list[int]()]
        for source, numbers in zip(sources, used, strict=True):
            frames = decoded(
                noted(source.pending(), numbers), 1, None if arguments.strict else unusable
            )
            found.append(describe(frames, source.label))
        name = " to ".join(source.label for source in sources)
        truth = same_place_by_index(len(sources[0]), len(sources[1]), int(tolerance))
        sets[name] = (*found, truth[np.ix_(*used)])
    unusable.tell()
    if sets:
        real = np.concatenate([part for pair in sets.values() for part in pair[:2]])
    else:
        real = describe(SyntheticRoute().frames(FIRST_LAP), "synthetic route")
    if len(real) < _FEWEST_REAL:
        raise VprError(f"{len(real)} frames are too few to make places of: {_FEWEST_REAL} or more")
    return sets, real


def _grow(arguments: argparse.Namespace, real: Any) -> dict[str, list[Growth]]:
    """Grow a map of each storage, each in a process of its own so that memory can be told."""
    from floppynet_vpr.evaluation.storage_benchmark import (
        SyntheticPlaces,
        available_bytes,
        exact_answers,
    )
    from floppynet_vpr.mapping import ReferenceMap

    sizes = sorted({int(size) for size in arguments.places})
    if not sizes:
        return {storage: [] for storage in arguments.storage}
    places = SyntheticPlaces(real)
    with progress(total=sizes[-1], label="exact search", unit="place") as bar:
        revisits = exact_answers(places, sizes, arguments.queries, bar.update)
    growth = {}
    for storage in arguments.storage:
        room = available_bytes() // 2 // ReferenceMap("", "", storage).bytes_per_place
        fitting = [part for part in revisits if part.places <= room]
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            growth[storage] = process.submit(_grow_one, storage, places, fitting).result()
    return growth


def _grow_one(storage: str, places: SyntheticPlaces, revisits: list[Any]) -> list[Growth]:
    from floppynet_vpr.evaluation.storage_benchmark import grow

    if not revisits:
        return []
    with progress(total=revisits[-1].places, label=storage, unit="place") as bar:
        return grow(storage, places, revisits, bar.update)


def _print_table(report: list[dict[str, Any]], markdown: bool) -> None:
    from floppynet_vpr.evaluation.tables import layout

    names = list(report[0]["accuracy"])
    sizes = sorted({point.places for line in report for point in line["growth"]})
    header = ["storage", "bytes a place"]
    header += [f"{name}: S_P100 (R@100P)" for name in names]
    header += [
        f"{size:,} places: ms median / p99 / cpu p99, recall@1, MiB, detector's ms median / p99"
        for size in sizes
    ]
    rows = [header]
    for line in report:
        judged: list[Judgement] = list(line["accuracy"].values())
        points = {point.places: point for point in line["growth"]}
        row = [line["storage"], f"{line['bytes_per_place']:,}"]
        row += [f"{j.s_p100:.1f} ({100 * j.curve.recall_at_full_precision:.1f})" for j in judged]
        row += [_cell(points[size]) if size in points else "-" for size in sizes]
        rows.append(row)
    print(layout(rows, markdown))


def _cell(point: Growth) -> str:
    return (
        f"{point.median_ms:.1f} / {point.p99_ms:.1f} / {point.cpu_p99_ms:.1f}, "
        f"{point.recall:.3f}, {point.rss_mib:.0f}, "
        f"{point.detector_median_ms:.1f} / {point.detector_p99_ms:.1f}"
    )


def _write_json(path: Path, report: list[dict[str, Any]]) -> None:
    from floppynet_vpr.evaluation.machine import describe_machine
    from floppynet_vpr.files import write_atomically

    lines = [
        line
        | {
            "accuracy": {
                name: {
                    "s_p100": judged.s_p100,
                    "recall_at_full_precision": 100 * judged.curve.recall_at_full_precision,
                }
                for name, judged in line["accuracy"].items()
            },
            "growth": [asdict(point) for point in line["growth"]],
        }
        for line in report
    ]
    facts = {"machine": asdict(describe_machine()), "storages": lines}
    write_atomically(path, (json.dumps(facts, indent=2).encode(),))
    print(f"wrote {path}", file=sys.stderr)


def _draw(path: Path, growth: dict[str, list[Growth]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for storage, points in growth.items():
        sizes = [point.places for point in points]
        (line,) = axes.loglog(sizes, [point.median_ms for point in points], "o-", label=storage)
        axes.loglog(sizes, [p.p99_ms for p in points], ":", color=line.get_color())
    axes.set(xlabel="places", ylabel="one search on one thread, ms (dotted: p99)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
