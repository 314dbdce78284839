# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`evaluate`: judges networks, or what a node answered, on two traverses or one that loops."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from floppynet_vpr.commands.common import at_least, make_parser, parse, progress, run
from floppynet_vpr.datasets.catalogue import Pair, TruthRule, load_dataset
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.pairs import (
    ALL,
    Sample,
    TraversePair,
    open_loop,
    open_own_pair,
    open_pairs,
)
from floppynet_vpr.detection import SEQUENCE_CHOICES, DetectorOptions, VerificationOptions
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.describers import Describer, open_network
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache
from floppynet_vpr.evaluation.detector_answers import DetectorSetup
from floppynet_vpr.evaluation.judgement import CONVENTIONS
from floppynet_vpr.evaluation.results import (
    EXACT,
    Result,
    best_first,
    evaluate,
    recorded_result,
    results_by_pair,
)
from floppynet_vpr.extraction import BACKENDS
from floppynet_vpr.files import write_atomically
from floppynet_vpr.mapping import DEFAULT_STORAGE, STORAGES
from floppynet_vpr.mapping.keyframes import KeyframeLimits

_NOWHERE = Path("none")
_PAPER_QUERIES = 200


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = make_parser(
        "evaluate",
        "Measure place recognition: every network and layer on every pair of traverses, answered "
        "by the very detector that the node runs, or what a node answered. Traverses are those of "
        "a dataset (--dataset, --root), two folders, videos or bags of your own (--query, "
        "--reference), or one that comes back to where it was (--loop). Descriptors are kept in "
        "OUTPUT/descriptors, so that a run that was stopped goes on, and another measure costs "
        "little. Writes results.json, results.csv, report.html and, of one pair, matches.png.",
        "  ros2 run floppynet_vpr evaluate --query lap_2/ --reference lap_1/ --tolerance 2 "
        "-o results\n"
        "  ros2 run floppynet_vpr evaluate --dataset gardens_point --root datasets/ \\\n"
        "      --sequence filter -o results\n"
        "  ros2 run floppynet_vpr evaluate --dataset gardens_point,nordland --root datasets/ \\\n"
        "      --network floppynet,binarynet --weights weights/ --layer pool5,conv5 --paper "
        "-o results\n"
        "  ros2 run floppynet_vpr evaluate --loop walk/ --truth loops.csv --tolerance 10 "
        "-o results\n"
        "  ros2 run floppynet_vpr evaluate --query lap_2_bag --reference lap_1_bag \\\n"
        "      --truth truth.csv --answers recorded_loop_closures -o results",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for all results"
    )
    _add_traverse_options(parser)
    _add_network_options(parser)
    _add_detector_options(parser)
    how = parser.add_argument_group("how to judge")
    how.add_argument(
        "--queries",
        type=at_least(0),
        metavar="N",
        help=f"draw so many queries of each pair; 0 takes all. Without it {_PAPER_QUERIES}, as the "
        "paper does, where images are compared one by one, else all",
    )
    how.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="another seed draws others"
    )
    how.add_argument(
        "--tolerance",
        type=at_least(0, float),
        metavar="T",
        help="frames or metres within which a match is right, in place of the dataset's own",
    )
    how.add_argument(
        "--unanswerable",
        choices=tuple(CONVENTIONS),
        help="queries whose place no reference shows: count them as wrong (the paper's S_P100, and "
        "the default), or leave them out (the default of --loop). What is detected is judged on "
        "all queries",
    )
    how.add_argument(
        "--paper",
        action="store_true",
        help="also print Tables II to VI beside the paper's figures",
    )
    return parser


def _add_traverse_options(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("datasets")
    data.add_argument(
        "--dataset",
        metavar="NAME,...",
        help="datasets, or .yaml files like config/datasets/template.yaml",
    )
    data.add_argument(
        "--root", type=Path, metavar="DIR", help="the dataset's folder, or the one that holds it"
    )
    data.add_argument(
        "--paper-frames",
        action="store_true",
        help="of long datasets take as many frames as the paper, evenly spread",
    )
    own = parser.add_argument_group("traverses of your own, or two of the dataset's")
    own.add_argument("--query", metavar="SOURCE", help="the traverse that asks")
    own.add_argument("--reference", metavar="SOURCE", help="the traverse that is known")
    own.add_argument(
        "--loop",
        type=Path,
        metavar="SOURCE",
        help="one traverse, of which each image is looked for among the places before it, as with "
        "the node's mode both; --truth says which frames show the same place",
    )
    own.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="ground truth: a matrix of 0 and 1 (text, .npy, .mat or an image), or a table with "
        "the columns query and ref (index from 0; of a loop any two columns); none: no place is "
        "seen twice; without it, frames of the same number are the same place",
    )
    own.add_argument(
        "--positions",
        type=Path,
        nargs=2,
        metavar=("QUERY.csv", "REFERENCE.csv"),
        help="where the frames were taken, in place of --truth: columns x, y, z in metres, or "
        "latitude and longitude",
    )
    own.add_argument(
        "--frames",
        type=_frames,
        default=ALL,
        metavar="FIRST:END:EVERY",
        help="take only these frames of each traverse, such as ::4 or 0:500; they are numbered "
        "anew, except in a ground-truth file",
    )
    own.add_argument(
        "--rate",
        type=at_least(0.001, float),
        default=10.0,
        metavar="HZ",
        help="images per second of a folder, of which --exclude-seconds makes use",
    )
    own.add_argument(
        "--answers",
        type=Path,
        metavar="BAG",
        help="judge a recording of /vpr/loop_closure in place of networks; --query and "
        "--reference are then the bags that were played and that the map was made of, --loop the "
        "one that was played in mode both",
    )


def _frames(text: str) -> slice:
    """An argument type: a slice as Python writes it."""
    try:
        parts = [int(part) if part else None for part in text.split(":")]
        if len(parts) not in (2, 3) or min(filter(None, parts), default=1) < 0 or parts[2:] == [0]:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no FIRST:END:EVERY") from None
    return slice(*parts)


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("networks")
    group.add_argument(
        "--network",
        default="shipped",
        metavar="NAME,...",
        help="shipped, a network of the family (see --weights), a .fnet, .tflite or .onnx file, or "
        "LABEL=FILE; an .onnx file needs a .yaml beside it, like config/external_network.yaml",
    )
    group.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="folder with the weights of named networks: NAME*.fnet or the authors' NAME*.tflite; "
        "without it those that the package carries",
    )
    group.add_argument(
        "--layer",
        default="pool5",
        metavar="NAME,...",
        help="layers as descriptors, or all (an image then takes 2 to 3 MB in OUTPUT/descriptors); "
        "loop closures are detected by pool5 only",
    )
    group.add_argument(
        "--backend", choices=BACKENDS, default="auto", help="how pool5 alone is computed"
    )
    group.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="CPU threads")


_TOP_K = 25
"""Candidates asked for, so that recall@20 can be told; the node's default lists fewer."""

_KEYFRAME_DISTANCE = 0.3
_CHOICES = {"sequence": SEQUENCE_CHOICES}


def _add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Add the node's parameters that bear on its answers, by their names there."""
    group = parser.add_argument_group(
        "detector", "The node's parameters of the same names: README says what they mean."
    )
    group.add_argument(
        "--mode",
        choices=("localization", "both"),
        help="localization never changes the map and is for two traverses; both lets it grow and "
        "is for --loop; each is the default there",
    )
    group.add_argument(
        "--storage",
        choices=(EXACT, *STORAGES),
        default=EXACT,
        help=f"how the map keeps places (build_map's default is {DEFAULT_STORAGE}); exact loses "
        "nothing",
    )
    verification = VerificationOptions()
    parameters: dict[str, Any] = {
        **asdict(replace(DetectorOptions(), top_k=_TOP_K)),
        "verify": False,
        "verify_budget": verification.budget_ms,
        "least_inliers": verification.least_inliers,
        "keyframe_distance": _KEYFRAME_DISTANCE,
        "keyframe_seconds": 0.0,
    }
    for name, default in parameters.items():
        names = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        told = f"as the node's {name}"
        if isinstance(default, bool):
            group.add_argument(
                *names, type=_yes_or_no, nargs="?", const=True, default=default, help=told
            )
        elif isinstance(default, str):
            group.add_argument(*names, choices=_CHOICES[name], default=default, help=told)
        else:
            kind = at_least(0, type(default))
            group.add_argument(*names, type=kind, default=default, metavar="N", help=told)


def _yes_or_no(text: str) -> bool:
    """An argument type: true or false, as ROS parameters are written."""
    if text.casefold() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return text.casefold() == "true"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _evaluate(arguments))


def _evaluate(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.evaluation.pictures import encoded, match_figure
    from floppynet_vpr.evaluation.report import html_report
    from floppynet_vpr.evaluation.result_files import csv_text, json_text
    from floppynet_vpr.evaluation.tables import text_tables

    begun = time.perf_counter()
    setup = _setup(arguments)
    pairs = _pairs(arguments, setup)
    if arguments.answers is not None:
        results = _recorded(arguments, pairs)
    else:
        results = _measure(arguments, pairs, setup)
    print(f"\n{text_tables(results)}\n")
    if arguments.paper:
        _print_paper(results)
    title = "Place recognition on " + ", ".join(dict.fromkeys(p.title for p in pairs))
    pictures = {}
    for name, group in results_by_pair(results).items():
        best = best_first(group)[0]
        picture = match_figure(best, f"{best.name}: S_P100 {best.judgement.s_p100:.1f}")
        if picture is not None:
            pictures[name] = picture
    page = html_report(results, title=title, facts=_facts(arguments, setup), pictures=pictures)
    files = {
        "results.json": json_text(results).encode(),
        "results.csv": csv_text(results).encode(),
        "report.html": page.encode(),
    }
    if len(pictures) == 1:
        files["matches.png"] = encoded(next(iter(pictures.values())), "png")
    for file, content in files.items():
        write_atomically(arguments.output / file, (content,))
        print(f"wrote {arguments.output / file}")
    print(f"in {time.perf_counter() - begun:.0f} s")
    return 0


def _facts(arguments: argparse.Namespace, setup: DetectorSetup) -> dict[str, str]:
    facts = {"Made on": time.strftime("%Y-%m-%d %H:%M")}
    if arguments.answers is None:
        options = asdict(setup.options) | ({"verify": True} if setup.verification else {})
        facts["Detector"] = ", ".join(f"{name} {value}" for name, value in options.items())
        facts["Threads"] = str(arguments.threads)
    return facts


def _setup(arguments: argparse.Namespace) -> DetectorSetup:
    """What the command line sets the detector to."""
    verification = VerificationOptions(
        least_inliers=arguments.least_inliers, budget_ms=arguments.verify_budget
    )
    return DetectorSetup(
        DetectorOptions(**{o.name: getattr(arguments, o.name) for o in fields(DetectorOptions)}),
        verification if arguments.verify else None,
        arguments.storage,
        KeyframeLimits(arguments.keyframe_distance, arguments.keyframe_seconds),
    )


def _pairs(arguments: argparse.Namespace, setup: DetectorSetup) -> list[TraversePair]:
    """The pairs of traverses that the command line names, with the queries drawn."""
    if arguments.loop is not None:
        return [_loop(arguments, setup)]
    if arguments.mode == "both":
        raise VprError("--mode both is for --loop: with --query and --reference the map is given")
    named = (arguments.query, arguments.reference)
    if any(named) and not all(named):
        raise VprError("name both traverses: --query and --reference")
    if arguments.dataset is None:
        if not all(named):
            raise VprError(
                "name a --dataset, your own traverses with --query and --reference, or a --loop"
            )
        return [
            open_own_pair(
                Path(arguments.query),
                Path(arguments.reference),
                _own_rule(arguments),
                rate_hz=arguments.rate,
                frames=arguments.frames,
                sample=_sample(arguments, setup),
            )
        ]
    if arguments.root is None:
        raise VprError("--root DIR says where the dataset is")
    if arguments.truth is not None or arguments.positions is not None:
        raise VprError(
            "--truth and --positions are for traverses of your own: a dataset has its own ground "
            "truth"
        )
    pairs = []
    for name in arguments.dataset.split(","):
        pairs += open_pairs(
            load_dataset(name),
            arguments.root,
            only=Pair(*named) if all(named) else None,
            tolerance=arguments.tolerance,
            paper_frames=arguments.paper_frames,
            frames=arguments.frames,
            sample=_sample(arguments, setup),
        )
    return pairs


def _sample(arguments: argparse.Namespace, setup: DetectorSetup) -> Sample | None:
    """Which queries to draw, None: all. An answer from a sequence needs the images before it."""
    ordered = setup.ordered or arguments.answers is not None
    count = arguments.queries
    if count is None:
        count = 0 if ordered else _PAPER_QUERIES
    elif count and setup.ordered:
        raise VprError(
            f"--queries {count} would tear holes into the sequence: leave it out with --sequence"
        )
    return Sample(count, arguments.seed) if count else None


def _own_rule(arguments: argparse.Namespace) -> TruthRule:
    tolerance = arguments.tolerance or 0
    if arguments.positions is not None:
        if arguments.truth is not None or arguments.tolerance is None:
            raise VprError("--positions need --tolerance METRES, and no --truth beside them")
        return TruthRule("metres", tolerance, tuple(map(str, arguments.positions)))
    if arguments.truth == _NOWHERE:
        return TruthRule("nowhere", 0)
    if arguments.truth is not None:
        return TruthRule("file", tolerance, (str(arguments.truth),))
    if arguments.tolerance is None:
        raise VprError(
            "which frames show the same place? Give --tolerance N (traverses taken in step, frame "
            "numbers at most N apart), --positions, or a --truth file"
        )
    return TruthRule("frames", tolerance)


def _loop(arguments: argparse.Namespace, setup: DetectorSetup) -> TraversePair:
    others = ("query", "reference", "dataset", "positions", "queries")
    given = [name for name in others if getattr(arguments, name)]
    if given:
        raise VprError(f"--loop is one traverse, all of it: leave --{given[0]} out")
    if arguments.mode == "localization":
        raise VprError("--mode localization never adds a place: --loop is answered in mode both")
    if arguments.truth is None:
        raise VprError(
            "which frames of the loop show the same place? Give a --truth file, or none where no "
            "place is seen twice"
        )
    return open_loop(
        arguments.loop,
        None if arguments.truth == _NOWHERE else arguments.truth,
        int(arguments.tolerance or 0),
        exclude_images=setup.options.exclude_images,
        exclude_seconds=setup.options.exclude_seconds,
        rate_hz=arguments.rate,
        frames=arguments.frames,
    )


def _convention(arguments: argparse.Namespace) -> str:
    return arguments.unanswerable or ("leave-out" if arguments.loop else "count")


def _measure(
    arguments: argparse.Namespace, pairs: Sequence[TraversePair], setup: DetectorSetup
) -> list[Result]:
    networks = _networks(arguments)
    cache = DescriptorCache(arguments.output / "descriptors")
    results: list[Result] = []
    for pair in pairs:
        print(f"{pair.name}: {len(pair.query)} queries, {len(pair.reference)} references")
        for network in networks:
            for result in evaluate(
                pair,
                network,
                cache,
                _progress,
                setup=setup,
                convention=_convention(arguments),
            ):
                print(f"  {result.name}: S_P100 {result.judgement.s_p100:.1f}", flush=True)
                results.append(result)
    return results


def _recorded(arguments: argparse.Namespace, pairs: Sequence[TraversePair]) -> list[Result]:
    from floppynet_vpr.evaluation.recording import read_recording

    recording = read_recording(arguments.answers)
    convention = _convention(arguments)
    return [recorded_result(pair, recording, arguments.answers.name, convention) for pair in pairs]


def _networks(arguments: argparse.Namespace) -> list[Describer]:
    layers = None if arguments.layer == "all" else arguments.layer.split(",")
    networks = [
        open_network(
            name,
            layers,
            arguments.weights,
            backend=arguments.backend,
            threads=arguments.threads,
        )
        for name in arguments.network.split(",")
    ]
    labels = [network.label for network in networks]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise VprError(f"two networks are called {', '.join(twice)}: name them LABEL=FILE")
    return networks


def _print_paper(results: Sequence[Result]) -> None:
    from floppynet_vpr.commands import network_info
    from floppynet_vpr.evaluation.paper_tables import paper_tables

    network_info.main([])
    print(f"\n{paper_tables(results)}\n")


def _progress(frames: Iterable[Frame], total: int, label: str) -> Iterable[Frame]:
    return progress(frames, total, label, unit="image", leave=False)


if __name__ == "__main__":
    sys.exit(main())
