# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`evaluate`: networks x layers x datasets, measured as the paper does, in one call."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from floppynet_vpr.commands.common import at_least, make_parser, parse, run
from floppynet_vpr.datasets.catalogue import Pair, TruthRule, load_dataset
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.pairs import RoutePair, Sample, open_own_pair, open_pairs
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.describers import Describer, open_network
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache
from floppynet_vpr.evaluation.experiment import EXACT, Result, evaluate, recorded_result
from floppynet_vpr.evaluation.scores import CONVENTIONS
from floppynet_vpr.extraction import BACKENDS
from floppynet_vpr.files import write_atomically
from floppynet_vpr.mapping import STORAGES
from floppynet_vpr.text import shown


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = make_parser(
        "evaluate",
        "Measure place recognition: every network and layer on every pair of drives. Drives are "
        "those of a dataset (--dataset, --root), or two folders, videos or bags of your own "
        "(--query, --reference). Descriptors are kept in OUTPUT/descriptors, so that a run that "
        "was stopped goes on, and another measure costs little. Writes results.json, results.csv "
        "and report.html.",
        "  ros2 run floppynet_vpr evaluate --dataset gardens_point --root datasets/ -o results\n"
        "  ros2 run floppynet_vpr evaluate --dataset gardens_point,nordland --root datasets/ \\\n"
        "      --network floppynet,binarynet --weights weights/ --layer pool5,conv5 --paper "
        "-o results\n"
        "  ros2 run floppynet_vpr evaluate --query lap_2/ --reference lap_1/ --tolerance 2 "
        "-o results\n"
        "  ros2 run floppynet_vpr evaluate --query lap_2_bag --reference lap_1_bag \\\n"
        "      --truth truth.csv --answers recorded_loop_closures -o results",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for all results"
    )
    _add_drive_options(parser)
    _add_network_options(parser)
    how = parser.add_argument_group("how to judge")
    how.add_argument(
        "--queries",
        type=at_least(0),
        default=200,
        metavar="N",
        help="draw so many queries of each pair, as the paper does; 0 takes all",
    )
    how.add_argument("--seed", type=at_least(0), default=0, help="another seed draws others")
    how.add_argument(
        "--tolerance",
        type=at_least(0, float),
        metavar="T",
        help="frames or metres within which a match is right, in place of the dataset's own",
    )
    how.add_argument(
        "--unanswerable",
        choices=tuple(CONVENTIONS),
        default="count",
        help="queries whose place no reference shows: count them as wrong (the paper's S_P100), "
        "or leave them out",
    )
    how.add_argument(
        "--storage",
        choices=(EXACT, *STORAGES),
        default=EXACT,
        help="search pool5 in a map with this storage, as a robot would, in place of the "
        "descriptors themselves",
    )
    how.add_argument(
        "--paper",
        action="store_true",
        help="also print Tables II to VI beside the paper's figures",
    )
    return parser


def _add_drive_options(parser: argparse.ArgumentParser) -> None:
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
    own = parser.add_argument_group("drives of your own, or two of the dataset's traverses")
    own.add_argument("--query", metavar="SOURCE", help="the drive that asks")
    own.add_argument("--reference", metavar="SOURCE", help="the drive that is known")
    own.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="ground truth: a matrix of 0 and 1, or a table with the columns query and ref (index "
        "from 0); without it, frames of the same number are the same place",
    )
    own.add_argument(
        "--answers",
        type=Path,
        metavar="BAG",
        help="judge a recording of /vpr/loop_closure in place of networks; --query and "
        "--reference are then the bags that were played and that the map was made of",
    )


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
        help="layers as descriptors, or all (an image then takes 2 to 3 MB in OUTPUT/descriptors)",
    )
    group.add_argument(
        "--backend", choices=BACKENDS, default="auto", help="how pool5 alone is computed"
    )
    group.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="CPU threads")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _evaluate(arguments))


def _evaluate(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.evaluation.comparison_report import comparison_report
    from floppynet_vpr.evaluation.result_files import csv_text, json_text, text_tables

    begun = time.perf_counter()
    pairs = _pairs(arguments)
    if arguments.answers is not None:
        results = [_recorded(arguments, pair) for pair in pairs]
    else:
        results = _measure(arguments, pairs)
    print(f"\n{text_tables(results)}\n")
    if arguments.paper:
        _print_paper(results)
    page = comparison_report(
        results,
        title="Place recognition on " + ", ".join(dict.fromkeys(p.title for p in pairs)),
        facts={
            "Made on": time.strftime("%Y-%m-%d %H:%M"),
            "Queries": f"at most {arguments.queries} of each pair, seed {arguments.seed}"
            if arguments.queries
            else "all",
            "Threads": str(arguments.threads),
        },
    )
    for name, text in (
        ("results.json", json_text(results)),
        ("results.csv", csv_text(results)),
        ("report.html", page),
    ):
        write_atomically(arguments.output / name, (shown(text).encode(),))
        print(f"wrote {arguments.output / name}")
    print(f"in {time.perf_counter() - begun:.0f} s")
    return 0


def _pairs(arguments: argparse.Namespace) -> list[RoutePair]:
    """The pairs of drives that the command line names, with the queries drawn."""
    named = (arguments.query, arguments.reference)
    sample = Sample(arguments.queries, arguments.seed) if arguments.queries else None
    if any(named) and not all(named):
        raise VprError("name both drives: --query and --reference")
    if arguments.dataset is None:
        if not all(named):
            raise VprError("name a --dataset, or your own drives with --query and --reference")
        if arguments.truth is None and arguments.tolerance is None:
            raise VprError(
                "which frames show the same place? Give --tolerance N (drives taken in step, "
                "frame numbers at most N apart), or a --truth file"
            )
        files = () if arguments.truth is None else (str(arguments.truth),)
        rule = TruthRule("file" if files else "frames", arguments.tolerance or 0, files)
        own = Path(arguments.query), Path(arguments.reference)
        return [open_own_pair(*own, rule, sample=sample)]
    if arguments.root is None:
        raise VprError("--root DIR says where the dataset is")
    if arguments.truth is not None:
        raise VprError("--truth is for drives of your own: a dataset has its own ground truth")
    pairs = []
    for name in arguments.dataset.split(","):
        pairs += open_pairs(
            load_dataset(name),
            arguments.root,
            only=Pair(*named) if all(named) else None,
            tolerance=arguments.tolerance,
            paper_frames=arguments.paper_frames,
            sample=sample,
        )
    return pairs


def _measure(arguments: argparse.Namespace, pairs: Sequence[RoutePair]) -> list[Result]:
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
                convention=arguments.unanswerable,
                storage=arguments.storage,
            ):
                print(f"  {result.name}: S_P100 {result.scores.s_p100:.1f}", flush=True)
                results.append(result)
    return results


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


def _recorded(arguments: argparse.Namespace, pair: RoutePair) -> Result:
    from floppynet_vpr.evaluation.recorded_answers import as_retrieval, read_answers, stamps_of

    answers = read_answers(arguments.answers)
    stamps = stamps_of(pair.query), stamps_of(pair.reference)
    retrieval = as_retrieval(answers, pair.query, pair.reference, stamps)
    how = f"{len(answers)} answers recorded in {arguments.answers.name}"
    return recorded_result(pair, retrieval, "node", how, arguments.unanswerable)


def _print_paper(results: Sequence[Result]) -> None:
    from floppynet_vpr.commands import network_info
    from floppynet_vpr.evaluation.paper_tables import paper_tables

    network_info.main([])
    print(f"\n{paper_tables(results)}\n")


def _progress(frames: Iterable[Frame], total: int, label: str) -> Iterable[Frame]:
    from tqdm import tqdm

    return tqdm(frames, total=total, desc=label, unit="image", disable=None, leave=False)


if __name__ == "__main__":
    sys.exit(main())
