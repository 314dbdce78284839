# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`evaluate`: judges networks, or what a node answered, on two traverses or one that loops."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from floppynet_vpr.commands.common import (
    UnusableFrames,
    add_results_option,
    command,
    make_parser,
    progress,
)
from floppynet_vpr.commands.evaluate_options import (
    PAPER_QUERIES,
    add_detector_options,
    add_judging_options,
    add_network_options,
    add_traverse_options,
    detector_setup,
)
from floppynet_vpr.datasets.catalogue import Pair, TruthRule, load_dataset
from floppynet_vpr.datasets.own_traverses import open_loop, open_own_pair
from floppynet_vpr.datasets.traverse_pairs import Sample, TraversePair, open_pairs
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.describers import Describer, open_network
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache
from floppynet_vpr.evaluation.detector_answers import DetectorSetup
from floppynet_vpr.evaluation.results import (
    Result,
    best_first,
    evaluate,
    recorded_result,
    results_by_pair,
)
from floppynet_vpr.files import user_path, write_atomically
from floppynet_vpr.text import shown

_NOWHERE = Path("none")
_progress = partial(progress, unit="image", leave=False)


def build_parser() -> argparse.ArgumentParser:
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
        "      --matching rigid --sequence none -o results\n"
        "  ros2 run floppynet_vpr evaluate --dataset gardens_point,nordland --root datasets/ \\\n"
        "      --network floppynet,binarynet --weights weights/ --layer pool5,conv5 --paper "
        "-o results\n"
        "  ros2 run floppynet_vpr evaluate --loop walk/ --truth loops.csv --tolerance 10 "
        "-o results\n"
        "  ros2 run floppynet_vpr evaluate --query lap_2_bag --reference lap_1_bag \\\n"
        "      --truth truth.csv --answers recorded_loop_closures -o results",
    )
    add_results_option(parser)
    add_traverse_options(parser)
    add_network_options(parser)
    add_detector_options(parser)
    add_judging_options(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.evaluation.pictures import encoded, match_figure
    from floppynet_vpr.evaluation.report import html_report
    from floppynet_vpr.evaluation.result_files import csv_text, json_text
    from floppynet_vpr.evaluation.tables import text_tables

    begun = time.perf_counter()
    if arguments.topic is not None and arguments.answers is None:
        raise VprError("--topic is of the recording that --answers names: say --image-topic")
    setup = detector_setup(arguments)
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
        picture = match_figure(best, _in_short(best))
        if picture is not None:
            pictures[name] = picture
    page = html_report(results, title=title, facts=_facts(arguments, setup), pictures=pictures)
    files = {
        "results.json": shown(json_text(results)).encode(),
        "results.csv": shown(csv_text(results)).encode(),
        "report.html": shown(page).encode(),
    }
    if len(pictures) == 1:
        files["matches.png"] = encoded(next(iter(pictures.values())), "png")
    for file, content in files.items():
        write_atomically(arguments.output / file, (content,))
        print(f"wrote {arguments.output / file}")
    print(f"in {time.perf_counter() - begun:.0f} s")
    return 0


def _in_short(result: Result) -> str:
    judgement = result.judgement
    return f"{result.name}: S_P100 {judgement.s_p100:.1f}" if judgement.queries else result.name


def _facts(arguments: argparse.Namespace, setup: DetectorSetup) -> dict[str, str]:
    facts = {"Made on": time.strftime("%Y-%m-%d %H:%M")}
    if arguments.answers is None:
        options = asdict(setup.options)
        facts["Detector"] = ", ".join(f"{name} {value}" for name, value in options.items())
        facts["Images at once"] = f"{arguments.threads}, each by one core"
    return facts


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
                user_path(arguments.query),
                user_path(arguments.reference),
                _own_rule(arguments),
                rate_hz=arguments.rate,
                frames=arguments.frames,
                sample=_sample(arguments, setup),
                topic=arguments.image_topic,
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
        count = 0 if ordered else PAPER_QUERIES
    elif count and setup.ordered:
        raise VprError(
            f"--queries {count} would tear holes into the sequence: it is for --sequence none"
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
        topic=arguments.image_topic,
    )


def _convention(arguments: argparse.Namespace) -> str:
    return arguments.unanswerable or ("leave-out" if arguments.loop else "count")


def _measure(
    arguments: argparse.Namespace, pairs: Sequence[TraversePair], setup: DetectorSetup
) -> list[Result]:
    networks = _networks(arguments)
    cache = DescriptorCache(arguments.output / "descriptors")
    skipped = None if arguments.strict else UnusableFrames()
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
                skipped=skipped,
            ):
                print(f"  {_in_short(result)}", flush=True)
                results.append(result)
        _tell_what_is_left_out(pair, results[-1].pair)
    return results


def _tell_what_is_left_out(pair: TraversePair, used: TraversePair) -> None:
    queries = len(pair.query) - len(used.query)
    references = len(pair.reference) - len(used.reference)
    if queries or references:
        print(
            f"warning: {queries} queries and {references} references of {pair.name} are left out, "
            "for they could not be used (--strict ends at the first instead)",
            file=sys.stderr,
        )


def _recorded(arguments: argparse.Namespace, pairs: Sequence[TraversePair]) -> list[Result]:
    from floppynet_vpr.evaluation.recording import read_recording

    recording = read_recording(arguments.answers, arguments.topic)
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


if __name__ == "__main__":
    sys.exit(main())
