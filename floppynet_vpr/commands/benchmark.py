# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmark`: every backend side by side, the one place where speed is stated."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict, dataclass

from floppynet_vpr.commands.common import (
    add_force_option,
    at_least,
    command,
    make_parser,
    progress,
    require_new,
)
from floppynet_vpr.evaluation.machine import Machine, describe_machine, load_average
from floppynet_vpr.evaluation.timing import Contender, Timing, measure, turns_for
from floppynet_vpr.files import user_path, write_atomically

_MOST_THREADS = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Report:
    """What was measured where; `load` is the load average before and after."""

    machine: Machine
    load: tuple[float, float]
    reference: str
    networks: list[Timing]
    stages: list[Timing]

    def ratio(self, timing: Timing) -> float:
        """How many times faster than the reference on one thread."""
        reference = next(t for t in self.networks if t.name == self.reference and t.threads == 1)
        return reference.median_ms / timing.median_ms


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "benchmark",
        "Measure every backend that works here, side by side in one process: calls take turns, "
        "each turn after a call that is not counted. Ratios are to FloppyNet as a float32 graph "
        "in onnxruntime on one thread. BinaryNet and the Baseline get random weights, on which "
        "time does not depend.",
        "  ros2 run floppynet_vpr benchmark\n"
        "  ros2 run floppynet_vpr benchmark --report board.md\n"
        "  ros2 run floppynet_vpr benchmark --runs 200 --threads 4 --markdown\n"
        "  ros2 run floppynet_vpr benchmark --tflite floppynet_places365.tflite --json speed.json",
    )
    parser.add_argument(
        "--weights",
        type=user_path,
        metavar="FILE.fnet",
        help="FloppyNet's weights; without it those that the package carries",
    )
    parser.add_argument(
        "--runs", type=at_least(1), default=50, metavar="N", help="calls measured of each"
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=min(_MOST_THREADS, len(os.sched_getaffinity(0))),
        metavar="N",
        help="threads to measure FloppyNet with, besides one",
    )
    parser.add_argument(
        "--tflite",
        type=user_path,
        metavar="FILE",
        help="the network as the authors publish it, for Larq Compute Engine where its package "
        "(larq-compute-engine, which needs numpy 1) is installed",
    )
    parser.add_argument(
        "--json", type=user_path, metavar="FILE", help="write everything there, too"
    )
    parser.add_argument(
        "--report",
        type=user_path,
        metavar="FILE.md",
        help="write what an owner of another board can send: the tables, the board, its memory and "
        "clock, and whether every backend gives the same integers",
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    add_force_option(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.evaluation.speed import REFERENCE

    for output in (arguments.json, arguments.report):
        if output is not None:
            require_new(output, arguments.force)
    networks = _networks(arguments)
    stages = _stages(arguments)
    before = load_average()
    total = turns_for(arguments.runs) * (len(networks) + len(stages))
    with progress(total=total, unit="turn") as bar:
        timings = [measure(group, arguments.runs, bar.update) for group in (networks, stages)]
    report = _Report(describe_machine(), (before, load_average()), REFERENCE, *timings)
    print(_text(report, arguments.markdown))
    if arguments.json:
        write_atomically(arguments.json, (_to_json(report).encode(),))
        print(f"wrote {arguments.json}", file=sys.stderr)
    if arguments.report:
        text = f"{_text(report, markdown=True)}\n\n{_board_facts(arguments)}\n"
        write_atomically(arguments.report, (text.encode(),))
        print(f"wrote {arguments.report}: please send it as it is", file=sys.stderr)
    return 0


def _networks(arguments: argparse.Namespace) -> list[Contender]:
    from floppynet_vpr.evaluation import speed
    from floppynet_vpr.network.weights import load_weights

    counts = sorted({1, int(arguments.threads)})
    contenders = speed.backend_contenders(load_weights(arguments.weights), counts)
    contenders += speed.backend_contenders(speed.random_weights("binarynet"), [1])
    contenders.append(speed.baseline_contender())
    if arguments.tflite:
        try:
            contenders += speed.larq_contenders(arguments.tflite)
        except (ImportError, RuntimeError) as error:
            _log.warning("not measured: Larq Compute Engine (%s)", error)
    return contenders


def _stages(arguments: argparse.Namespace) -> list[Contender]:
    from floppynet_vpr.evaluation import speed
    from floppynet_vpr.extraction import ExtractionError, create_extractor
    from floppynet_vpr.extraction.factory import backends_for
    from floppynet_vpr.network.weights import load_weights

    weights = load_weights(arguments.weights)
    contenders = []
    for backend in backends_for(weights):
        try:
            extractor = create_extractor(weights, backend)
        except ExtractionError:
            continue  # said when the networks were prepared
        contenders += speed.stage_contenders(extractor, backend)
    return contenders + speed.common_stage_contenders(weights)


def _heading(report: _Report) -> list[str]:
    machine = report.machine
    libraries = ", ".join(f"{name} {number or '-'}" for name, number in machine.libraries.items())
    return [
        f"{machine.cpu}, {machine.cores} cores, {' '.join(machine.flags) or 'no vector flags'}",
        f"Python {machine.python}, {libraries}",
        f"load average {report.load[0]:.1f} before, {report.load[1]:.1f} after; "
        f"{report.networks[0].runs} calls of each; times in ms",
    ]


def _legend(report: _Report) -> str:
    return (
        "cpu: CPU time of all threads together, which other programs do not stretch (median)\n"
        f"x: times faster than {report.reference} on one thread (medians)"
    )


def _text(report: _Report, markdown: bool) -> str:
    from floppynet_vpr.evaluation.tables import layout

    networks = [
        ("one 227x227 image", "threads", "median", "p10", "p90", "cpu", "x"),
        *((t.name, str(t.threads), *_times(t), f"{report.ratio(t):.2f}") for t in report.networks),
    ]
    stages = [
        ("stage, one thread", "median", "p10", "p90", "cpu"),
        *((t.name, *_times(t)) for t in report.stages),
    ]
    heading = ("  \n" if markdown else "\n").join(_heading(report))
    tables = (layout(networks, markdown), layout(stages, markdown))
    return "\n\n".join((heading, *tables, _legend(report)))


def _times(timing: Timing) -> tuple[str, ...]:
    values = timing.median_ms, timing.p10_ms, timing.p90_ms, timing.cpu_ms
    return tuple(f"{value:.3f}" for value in values)


def _board_facts(arguments: argparse.Namespace) -> str:
    """What else matters of a board, and the integers that its backends give."""
    from floppynet_vpr.evaluation.board import describe_board
    from floppynet_vpr.evaluation.speed import sums_of_backends
    from floppynet_vpr.network.weights import load_weights

    facts = describe_board()
    weights = load_weights(arguments.weights)
    sums = sums_of_backends(weights)
    alike = "the same by all backends" if len(set(sums.values())) == 1 else "THEY DIFFER"
    lines = [
        "| board | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        f"| weights | {weights.fingerprint[:12]} |",
        *(f"| pool5, {name} | {digest} |" for name, digest in sums.items()),
        f"| pool5 | {alike} |",
    ]
    return "\n".join(lines)


def _to_json(report: _Report) -> str:
    content = asdict(report)
    for timing, entry in zip(report.networks, content["networks"], strict=True):
        entry["ratio"] = report.ratio(timing)
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
