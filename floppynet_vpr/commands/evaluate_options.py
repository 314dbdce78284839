# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` can be told: traverses, networks, the detector's parameters, how to judge."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from typing import Any

from floppynet_vpr.commands.common import at_least
from floppynet_vpr.datasets.traverse_pairs import ALL
from floppynet_vpr.detection import SEQUENCE_CHOICES, DetectorOptions, VerificationOptions
from floppynet_vpr.evaluation.detector_answers import DetectorSetup
from floppynet_vpr.evaluation.judgement import CONVENTIONS
from floppynet_vpr.evaluation.results import EXACT
from floppynet_vpr.extraction import BACKENDS
from floppynet_vpr.files import user_path
from floppynet_vpr.mapping import DEFAULT_STORAGE, STORAGES
from floppynet_vpr.mapping.keyframes import KeyframeLimits

PAPER_QUERIES = 200
"""How many queries the paper draws."""


def add_traverse_options(parser: argparse.ArgumentParser) -> None:
    """Add what names two traverses, or one."""
    data = parser.add_argument_group("datasets")
    data.add_argument(
        "--dataset",
        metavar="NAME,...",
        help="datasets, or .yaml files like config/datasets/template.yaml",
    )
    data.add_argument(
        "--root",
        type=user_path,
        metavar="DIR",
        help="the dataset's folder, or the one that holds it",
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
        type=user_path,
        metavar="SOURCE",
        help="one traverse, of which each image is looked for among the places before it, as with "
        "the node's mode both; --truth says which frames show the same place",
    )
    own.add_argument(
        "--truth",
        type=user_path,
        metavar="FILE",
        help="ground truth: a matrix of 0 and 1 (text, .npy, .mat or an image), or a table with "
        "the columns query and ref (index from 0; of a loop any two columns); none: no place is "
        "seen twice; without it, frames of the same number are the same place",
    )
    own.add_argument(
        "--positions",
        type=user_path,
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
        type=user_path,
        metavar="BAG",
        help="judge a recording of /vpr/loop_closure in place of networks; --query and "
        "--reference are then the bags that were played and that the map was made of, --loop the "
        "one that was played in mode both",
    )
    own.add_argument(
        "--topic",
        metavar="NAME",
        help="the recording's topic, where it has answers of several nodes",
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


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add what names networks and their layers."""
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
        type=user_path,
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
"""Candidates asked for, so that recall@20 can be told. To verify so many would take too long."""

_KEYFRAME_DISTANCE = 0.3
_CHOICES = {"sequence": SEQUENCE_CHOICES}


def add_detector_options(parser: argparse.ArgumentParser) -> None:
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
        **asdict(DetectorOptions()),
        "verify": False,
        "verify_budget": verification.budget_ms,
        "least_inliers": verification.least_inliers,
        "keyframe_distance": _KEYFRAME_DISTANCE,
        "keyframe_seconds": 0.0,
    }
    for name, default in parameters.items():
        names = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        told = f"as the node's {name}"
        if name == "top_k":
            told += f" (default: {_TOP_K}; with --verify the node's {default})"
            default = None
        if isinstance(default, bool):
            group.add_argument(
                *names,
                type=_yes_or_no,
                nargs="?",
                const=True,
                default=default,
                metavar="BOOL",
                help=told,
            )
        elif isinstance(default, str):
            group.add_argument(*names, choices=_CHOICES[name], default=default, help=told)
        else:
            kind = at_least(0, int if default is None else type(default))
            group.add_argument(*names, type=kind, default=default, metavar="N", help=told)


def _yes_or_no(text: str) -> bool:
    """An argument type: true or false, as ROS parameters are written."""
    if text.casefold() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return text.casefold() == "true"


def add_judging_options(parser: argparse.ArgumentParser) -> None:
    """Add how answers are held against the truth."""
    how = parser.add_argument_group("how to judge")
    how.add_argument(
        "--queries",
        type=at_least(0),
        metavar="N",
        help=f"draw so many queries of each pair; 0 takes all. Without it {PAPER_QUERIES}, as the "
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


def detector_setup(arguments: argparse.Namespace) -> DetectorSetup:
    """What the command line sets the detector to."""
    given = {option.name: getattr(arguments, option.name) for option in fields(DetectorOptions)}
    if given["top_k"] is None:
        given["top_k"] = DetectorOptions().top_k if arguments.verify else _TOP_K
    verification = VerificationOptions(
        least_inliers=arguments.least_inliers, budget_ms=arguments.verify_budget
    )
    return DetectorSetup(
        DetectorOptions(**given),
        verification if arguments.verify else None,
        arguments.storage,
        KeyframeLimits(arguments.keyframe_distance, arguments.keyframe_seconds),
    )
