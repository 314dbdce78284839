# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`demo`: drives a street twice and shows the real node recognising it.

It needs no data; with images of one's own it is the first trial of the node on them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from floppynet_vpr.commands import build_map, evaluate
from floppynet_vpr.commands.common import (
    add_results_option,
    add_weights_option,
    at_least,
    command,
    make_parser,
    progress,
)
from floppynet_vpr.datasets.catalogue import TruthRule
from floppynet_vpr.datasets.own_traverses import open_own_pair
from floppynet_vpr.datasets.traverse_bags import (
    TraverseBag,
    choose_traverses,
    detour_bag,
    folder_bag,
)
from floppynet_vpr.datasets.traverse_pairs import TraversePair
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.pictures import offset_text
from floppynet_vpr.evaluation.recording import RecordedAnswer, read_recording
from floppynet_vpr.files import user_path

_progress = partial(progress, leave=False)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "demo",
        "Drive a route twice and recognise it. The first drive becomes a map; the second is played "
        "as a bag to the real node, whose answers on /vpr/loop_closure are recorded and judged by "
        "`evaluate`. Without --data the route is a synthetic street: first lap by day, second lap "
        "at dusk, in another lane, at another speed, with other cars. A third drive shows what "
        "happens when the camera is carried off and driven against the direction of the map. All "
        "ROS traffic stays in a domain of its own on this machine.",
        "  ros2 run floppynet_vpr demo --output demo_output\n"
        "  ros2 run floppynet_vpr demo --output gardens --data gardens_point \\\n"
        "      --reference day_right --query night_right\n"
        "  ros2 run floppynet_vpr demo --output mine --data my_drives --rate 10 --tolerance 5",
    )
    add_results_option(parser)
    add_weights_option(parser)
    parser.add_argument(
        "--rate",
        type=at_least(0.1, float),
        default=20.0,
        metavar="HZ",
        help="images per second that the node gets",
    )
    parser.add_argument(
        "--tolerance",
        type=at_least(0, float),
        default=2.0,
        metavar="N",
        help="a match is right if it is no farther than this from the truth: frames with --data, "
        "metres (the distance between frames) on the synthetic street",
    )
    own = parser.add_argument_group("images of your own")
    own.add_argument(
        "--data",
        type=user_path,
        metavar="DIR",
        help="folder with two folders of images, two drives along the same way whose n-th images "
        "show the same place",
    )
    own.add_argument("--reference", metavar="NAME", help="the folder in DIR to make the map of")
    own.add_argument("--query", metavar="NAME", help="the folder in DIR to be recognised")
    street = parser.add_argument_group("synthetic street")
    street.add_argument(
        "--length", type=at_least(10, float), default=150.0, metavar="M", help="metres to drive"
    )
    street.add_argument(
        "--seed", type=at_least(0), default=7, help="another number gives another street"
    )
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 if the node answered every query, 1 if not."""
    _rehearsal()
    if arguments.data is None and (arguments.reference or arguments.query):
        raise VprError("--reference and --query choose folders of --data DIR: name that, too")
    if arguments.weights is not None and not arguments.weights.is_file():
        raise VprError(f"there is no weights file {arguments.weights}")
    output: Path = arguments.output
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VprError(f"cannot make the folder {output}: {error.strerror}") from error

    print("[1/6] two drives as bags", flush=True)
    references, queries = _bags(arguments, output)
    truth = _truth(references, queries, arguments.tolerance)
    pair = _pair(references, queries, truth)
    for bag, traverse in ((references, pair.reference), (queries, pair.query)):
        how = "written" if bag.made else "kept from before"
        print(f"{bag.path}: {len(traverse)} images, {how}")
    reference_map = output / "map.fvm"
    print(f"[2/6] making a map of {references.label}", flush=True)
    if _build_map(references, reference_map, arguments.weights):
        return 1
    print("[3/6] starting the node", flush=True)
    told = f"[4/6] playing {queries.label}"
    recording = output / "answers"
    _rehearse(arguments, reference_map, queries, pair, recording, told)
    status = 0
    if not (references.positions and queries.positions):
        print("[5/6] no third drive: it needs positions along the way, as on the synthetic street")
    else:
        status = _third_drive(arguments, reference_map, references, queries, pair)
    print("[6/6] summary")
    judged = _judge(references, queries, truth, recording, output)
    return judged or status or _verdict(len(pair.query), recording, output)


def _rehearsal() -> Callable[..., None]:
    """What plays a bag to a node; raises VprError where ROS 2 is absent."""
    try:
        from floppynet_vpr.ros.rehearsal import rehearse
    except ImportError as error:
        raise VprError(f"the demo needs ROS 2 ({error}): source its setup.bash first") from error
    return rehearse


def _rehearse(
    arguments: argparse.Namespace,
    reference_map: Path,
    bag: TraverseBag,
    pair: TraversePair,
    recording: Path,
    told: str,
) -> None:
    """Play the queries of a pair to a node, and print its answers as they come."""
    rehearse = _rehearsal()
    if recording.exists():
        shutil.rmtree(recording)
    reference_at = {stamp: number for number, stamp in enumerate(pair.reference.stamps_ns())}

    def ready() -> None:
        rate = f"{arguments.rate:g} Hz"
        print(f"{told} to it at {rate}; its answers on /vpr/loop_closure:", flush=True)

    rehearse(
        reference_map,
        bag,
        pair.query.stamps_ns(),
        recording,
        rate_hz=arguments.rate,
        weights=arguments.weights,
        logs=arguments.output,
        ready=ready,
        answered=lambda query, answer: print(_line(pair, query, answer, reference_at), flush=True),
    )


def _third_drive(
    arguments: argparse.Namespace,
    reference_map: Path,
    references: TraverseBag,
    queries: TraverseBag,
    pair: TraversePair,
) -> int:
    """Drive the second lap's end, be carried off to its beginning, and drive back from there."""
    output: Path = arguments.output
    assert pair.query_at is not None
    positions = [float(at) for at in pair.query_at[:, 0]]
    bag, part = detour_bag(queries, pair.query.frames(), positions, output / "detour", _progress)
    truth = _truth(references, bag, arguments.tolerance)
    detour = _pair(references, bag, truth)
    recording = output / "answers_detour"
    told = f"[5/6] playing a third drive, carried off and turned round after image {part - 1},"
    _rehearse(arguments, reference_map, bag, detour, recording, told)
    judged = _judge(references, bag, truth, recording, output / "third_drive")
    print(_found_again(detour, recording, part))
    return judged or _verdict(len(detour.query), recording, output)


def _found_again(pair: TraversePair, recording: Path, part: int) -> str:
    """Say in words what was answered after the camera had been carried off."""
    number = {stamp: query for query, stamp in enumerate(pair.query.stamps_ns())}
    reference_at = {stamp: place for place, stamp in enumerate(pair.reference.stamps_ns())}
    right, wrong = [], 0
    for recorded in read_recording(recording).answers:
        query, answer = number.get(recorded.stamp_ns, -1), recorded.of(reference_at)
        if query >= part and answer.detected:
            if pair.truth[query, answer.matches[0].reference]:
                right.append(query)
            else:
                wrong += 1
    again = f"found again {min(right) - part} images later" if right else "not found again"
    return (
        f"carried off to the beginning and driven back against the direction of the map: {again}, "
        f"with {wrong} false closures"
    )


def _judge(
    references: TraverseBag, queries: TraverseBag, truth: list[str], recording: Path, output: Path
) -> int:
    return evaluate.main(
        [
            *("--query", str(queries.path), "--reference", str(references.path), *truth),
            *("--answers", str(recording), "--output", str(output)),
        ]
    )


def _bags(arguments: argparse.Namespace, output: Path) -> tuple[TraverseBag, TraverseBag]:
    """The two drives as bags, written now or kept from before."""
    if arguments.data is not None:
        reference, query = choose_traverses(arguments.data, arguments.reference, arguments.query)
        return (
            folder_bag(reference, "reference", output / reference.name, _progress),
            folder_bag(query, "query", output / query.name, _progress),
        )
    from floppynet_vpr.synthetic.lap_bags import synthetic_bag
    from floppynet_vpr.synthetic.route import FIRST_LAP, SECOND_LAP, SyntheticRoute

    route = SyntheticRoute(seed=arguments.seed, length_m=arguments.length)
    return (
        synthetic_bag(route, FIRST_LAP, "reference", output / FIRST_LAP.name, _progress),
        synthetic_bag(route, SECOND_LAP, "query", output / SECOND_LAP.name, _progress),
    )


def _build_map(references: TraverseBag, reference_map: Path, weights: Path | None) -> int:
    chosen = [] if weights is None else ["--weights", str(weights)]
    return build_map.main(
        [str(references.path), "--output", str(reference_map), "--force", *chosen]
    )


def _truth(references: TraverseBag, queries: TraverseBag, tolerance: float) -> list[str]:
    """What `evaluate` is told of the truth: metres where positions are known, else frames."""
    files = [str(bag.positions) for bag in (queries, references) if bag.positions]
    return ["--tolerance", f"{tolerance:g}", *(["--positions", *files] if files else [])]


def _pair(references: TraverseBag, queries: TraverseBag, truth: list[str]) -> TraversePair:
    tolerance, files = float(truth[1]), tuple(truth[3:])
    rule = TruthRule("metres" if files else "frames", tolerance, files)
    return open_own_pair(queries.path, references.path, rule)


def _line(
    pair: TraversePair, query: int, recorded: RecordedAnswer, reference_at: dict[int, int]
) -> str:
    """One answer in one line."""
    answer = recorded.of(reference_at)
    if not answer.matches or answer.matches[0].reference < 0:
        return f"  query {query:4d}  no candidate"
    best = answer.matches[0]
    flag = "loop closure    " if answer.detected else "nothing detected"
    verdict = "right" if pair.truth[query, best.reference] else "WRONG"
    return (
        f"  query {query:4d}  place {best.reference:4d}  distance {best.distance:.3f}  {flag}  "
        f"{verdict}, {offset_text(pair.off(query, best.reference), pair.unit)}"
    )


def _verdict(queries: int, recording: Path, output: Path) -> int:
    """Say what is missing, if anything is; returns the exit status."""
    recorded = read_recording(recording)
    answered = len({answer.stamp_ns for answer in recorded.answers})
    if answered >= queries:
        return 0
    dropped = recorded.diagnostics.get("images dropped", "an unknown number of")
    raise VprError(
        f"{queries - answered} of {queries} queries got no answer; the node dropped {dropped} "
        f"images to stay with the newest. Try a lower --rate, and see {output / 'vpr_node.log'}"
    )


if __name__ == "__main__":
    sys.exit(main())
