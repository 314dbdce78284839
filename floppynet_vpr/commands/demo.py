# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`demo`: drives a street twice and shows the real node recognising it.

It needs no data; with images of one's own it is the first trial of the node on them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from floppynet_vpr.commands.common import (
    add_weights_option,
    at_least,
    make_parser,
    parse,
    progress,
    run,
)
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.traverses import (
    TraverseBag,
    choose_traverses,
    folder_bag,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.answers import Answer, Trial
from floppynet_vpr.evaluation.figures import offset_text
from floppynet_vpr.evaluation.trial_files import summary_lines, trial_content, write_pages
from floppynet_vpr.files import user_path


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = make_parser(
        "demo",
        "Drive a route twice and recognise it. The first drive becomes a map; the second is played "
        "as a bag to the real node, whose answers on /vpr/loop_closure are compared with the "
        "truth. Without --data the route is a synthetic street: first lap by day, second lap at "
        "dusk, in another lane, at another speed, with other cars. All ROS traffic stays in a "
        "domain of its own on this machine.",
        "  ros2 run floppynet_vpr demo --output demo_output\n"
        "  ros2 run floppynet_vpr demo --output gardens --data gardens_point \\\n"
        "      --reference day_right --query night_right\n"
        "  ros2 run floppynet_vpr demo --output mine --data my_drives --rate 10 --tolerance 5",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=user_path,
        required=True,
        metavar="DIR",
        help="folder for all results",
    )
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


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 if the node answered every query, 1 if not."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _demo(arguments))


def _demo(arguments: argparse.Namespace) -> int:
    try:
        from floppynet_vpr.ros.rehearsal import rehearse
    except ImportError as error:
        raise VprError(f"the demo needs ROS 2 ({error}): source its setup.bash first") from error
    if arguments.data is None and (arguments.reference or arguments.query):
        raise VprError("--reference and --query choose folders of --data DIR: name that, too")
    if arguments.weights is not None and not arguments.weights.is_file():
        raise VprError(f"there is no weights file {arguments.weights}")
    output: Path = arguments.output
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VprError(f"cannot make the folder {output}: {error.strerror}") from error

    print("[1/5] two drives as bags", flush=True)
    references, queries = _bags(arguments, output)
    for bag in (references, queries):
        how = "written" if bag.made else "kept from before"
        print(f"{bag.path}: {len(bag.traverse)} images, {how}")
    reference_map = output / "map.fvm"
    print(f"[2/5] making a map of {references.traverse.label}", flush=True)
    if _build_map(references, reference_map, arguments.weights):
        return 1
    print("[3/5] starting the node", flush=True)
    trial = Trial(queries.traverse, references.traverse, arguments.tolerance, {})

    def ready() -> None:
        print(
            f"[4/5] playing {queries.traverse.label} to it at {arguments.rate:g} Hz; its answers "
            "on /vpr/loop_closure:",
            flush=True,
        )

    rehearsal = rehearse(
        reference_map,
        queries,
        rate_hz=arguments.rate,
        weights=arguments.weights,
        logs=output,
        ready=ready,
        answered=lambda query, answer: print(_line(trial, query, answer), flush=True),
    )
    trial = Trial(queries.traverse, references.traverse, arguments.tolerance, rehearsal.answers)
    print("[5/5] summary")
    for line in summary_lines(trial, rehearsal.latency_ms):
        print(f"  {line}")
    content = trial_content(trial, rehearsal.latency_ms, rehearsal.diagnostics)
    (output / "loop_closures.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    on = "the synthetic street" if arguments.data is None else arguments.data.resolve().name
    for written in write_pages(
        trial,
        (references, queries),
        output,
        title=f"Loop closures on {on}",
        latency_ms=rehearsal.latency_ms,
        facts=_facts(arguments, rehearsal.diagnostics),
    ):
        print(f"  wrote {written}")
    print(f"  wrote {output / 'loop_closures.json'}")
    return _verdict(trial, output, rehearsal.diagnostics)


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


def _progress(frames: Iterable[Frame], total: int, label: str) -> Iterable[Frame]:
    return progress(frames, total, label, leave=False)


def _build_map(references: TraverseBag, reference_map: Path, weights: Path | None) -> int:
    from floppynet_vpr.commands import build_map

    chosen = [] if weights is None else ["--weights", str(weights)]
    return build_map.main(
        [str(references.path), "--output", str(reference_map), "--force", *chosen]
    )


def _line(trial: Trial, query: int, answer: Answer) -> str:
    """One answer in one line."""
    outcome = trial.outcome(query, answer)
    if outcome.match is None or outcome.distance is None:
        return f"  query {query:4d}  no candidate"
    flag = "loop closure    " if outcome.detected else "nothing detected"
    verdict = "right" if outcome.right else "WRONG"
    return (
        f"  query {query:4d}  place {outcome.match:4d}  distance {outcome.distance:.3f}  {flag}  "
        f"{verdict}, {offset_text(outcome.off, trial.queries.unit)}"
    )


def _facts(arguments: argparse.Namespace, diagnostics: Mapping[str, str]) -> dict[str, str]:
    """What the report says about how the run was done."""
    weights = "shipped with the package" if arguments.weights is None else str(arguments.weights)
    told = {
        "Weights": f"{weights} ({diagnostics['weights']})" if "weights" in diagnostics else weights,
        "Computed by": diagnostics.get("backend", ""),
        "Map": f"{diagnostics['map places']} places" if "map places" in diagnostics else "",
        "Images": f"{diagnostics.get('image topic', '')} at {arguments.rate:g} Hz",
        "Images dropped": diagnostics.get("images dropped", ""),
        "Made on": time.strftime("%Y-%m-%d %H:%M"),
    }
    return {name: value for name, value in told.items() if value}


def _verdict(trial: Trial, output: Path, diagnostics: Mapping[str, str]) -> int:
    """Say what is missing, if anything is; returns the exit status."""
    if not trial.missing:
        return 0
    shown = ", ".join(map(str, trial.missing[:8])) + (", ..." if len(trial.missing) > 8 else "")
    dropped = diagnostics.get("images dropped", "an unknown number of")
    raise VprError(
        f"{len(trial.missing)} of {len(trial)} queries got no answer ({shown}); the node dropped "
        f"{dropped} images to stay with the newest. Try a lower --rate, and see "
        f"{output / 'vpr_node.log'}"
    )


if __name__ == "__main__":
    sys.exit(main())
