# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` can be told: traverses, networks, the detector's parameters, how to judge."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from typing import Any

from floppynet_vpr.commands.common import (
    add_computing_options,
    add_rate_option,
    add_strict_option,
    at_least,
)
from floppynet_vpr.datasets.traverse_pairs import ALL
from floppynet_vpr.detection import BY_FEATURES, DetectorOptions, VerificationOptions
from floppynet_vpr.detection.growth import GrowthOptions
from floppynet_vpr.detection.options import RIGID_MATCHING, SINGLE
from floppynet_vpr.evaluation.detector_answers import DetectorSetup
from floppynet_vpr.evaluation.judgement import CONVENTIONS
from floppynet_vpr.evaluation.results import EXACT
from floppynet_vpr.files import user_path
from floppynet_vpr.mapping import DEFAULT_STORAGE, STORAGES
from floppynet_vpr.mapping.keyframes import KeyframeLimits
from floppynet_vpr.parameters import SETTINGS, Setting, Value

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
    add_rate_option(own, "images per second of a folder, of which --exclude-seconds makes use")
    own.add_argument(
        "--image-topic",
        metavar="NAME",
        help="image topic of bags, or base topic of a compressed one; found by itself when it is "
        "the only one",
    )
    add_strict_option(own)
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
    add_computing_options(
        group,
        len(os.sched_getaffinity(0)),
        "images worked on at once, each by one core; without it one per core",
    )


_TOP_K = 25
"""Candidates asked for, so that recall@20 can be told. To verify so many would take too long."""

_PAPER: dict[str, str] = {"matching": RIGID_MATCHING, "sequence": SINGLE}
"""What the paper's tables are made with: parameters and their values."""

_PARAMETERS = (
    *(option.name for option in fields(DetectorOptions)),
    "verify_budget",
    "least_inliers",
    "keyframe_distance",
    "keyframe_seconds",
    "max_looks",
    "max_places",
)
"""The node's parameters that bear on its answers."""


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Add the node's parameters that bear on its answers, by their names there."""
    group = parser.add_argument_group(
        "detector", "The node's parameters of the same names: docs/node.md says what they mean."
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
    for setting in (setting for setting in SETTINGS if setting.name in _PARAMETERS):
        _add_parameter(group, setting)


def _add_parameter(group: argparse._ArgumentGroup, setting: Setting) -> None:
    """Add an option of a parameter's name, which may be written with hyphens."""
    default: Value | None = setting.default
    told = setting.summary
    # What a default depends on is known only when all options are read: see `detector_setup`.
    if setting.name == "top_k":
        told += f" (default: {_TOP_K}; with --verification features {default})"
        default = None
    elif setting.name in _PAPER:
        told += f" (default: {default}; with --paper {_PAPER[setting.name]})"
        default = None
    switch = isinstance(setting.default, bool)
    group.add_argument(
        *dict.fromkeys((f"--{setting.name.replace('_', '-')}", f"--{setting.name}")),
        type=setting.read,
        choices=setting.choices or None,
        nargs="?" if switch else None,
        const=True if switch else None,
        default=default,
        metavar=None if setting.choices else "BOOL" if switch else "N",
        help=told,
    )


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
        help="also print Tables II to VI beside the paper's figures, and compare images as the "
        "paper does: --matching rigid --sequence none, where nothing else is said",
    )


def detector_setup(arguments: argparse.Namespace) -> DetectorSetup:
    """What the command line sets the detector to."""
    given = {option.name: getattr(arguments, option.name) for option in fields(DetectorOptions)}
    defaults: dict[str, Any] = _PAPER if arguments.paper else {}
    by_features = arguments.verification == BY_FEATURES
    if not by_features:
        defaults = {"top_k": _TOP_K, **defaults}
    chosen = {name: value for name, value in given.items() if value is not None}
    verification = VerificationOptions(
        least_inliers=arguments.least_inliers, budget_ms=arguments.verify_budget
    )
    return DetectorSetup(
        DetectorOptions(**{**defaults, **chosen}),
        verification if by_features else None,
        arguments.storage,
        KeyframeLimits(arguments.keyframe_distance, arguments.keyframe_seconds),
        GrowthOptions(arguments.max_looks, arguments.max_places),
    )
