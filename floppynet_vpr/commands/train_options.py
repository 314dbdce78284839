# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The options of `train`, and the recipe that they make."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from typing import Any

from floppynet_vpr.commands.common import add_strict_option, at_least
from floppynet_vpr.files import user_path
from floppynet_vpr.network.layers import NETWORKS
from floppynet_vpr.network.weights import weights_path
from floppynet_vpr.training.recipe import PRESETS, Recipe


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add what is trained, and from where it starts."""
    group = parser.add_argument_group("network (the switches are those of Figure 8)")
    group.add_argument("--network", choices=tuple(NETWORKS), default="floppynet", help="start from")
    group.add_argument(
        "--binarise",
        action=argparse.BooleanOptionalAction,
        help="1-bit weights and activations; --no-binarise: full precision",
    )
    group.add_argument(
        "--shallow",
        action=argparse.BooleanOptionalAction,
        help="without conv3 and conv4; --no-shallow: with them",
    )
    group.add_argument(
        "--head-width", type=at_least(1), metavar="N", help="units of the fully connected layers"
    )
    group.add_argument(
        "--head-bits", type=int, choices=(1, 2, 4, 8, 32), help="their precision; 32 is full"
    )
    group.add_argument(
        "--ablation",
        action="store_true",
        help="train the eight networks of Figure 8 one after the other, each in its own folder in "
        "OUTPUT, and write OUTPUT/ablation.csv; --epochs gives all the same number of images",
    )
    group.add_argument(
        "--from",
        dest="start",
        type=weights_path,
        metavar="FILE.fnet|RUN",
        help="start from these weights, or those that the package carries by their network's name, "
        "or from the averaged latent weights of an earlier run, by its folder, instead of random "
        "ones",
    )
    group.add_argument(
        "--average",
        type=user_path,
        nargs="+",
        metavar="RUN",
        help="train nothing: write the mean of the latent weights of these runs of one network, "
        "with thresholds fitted anew",
    )
    group.add_argument(
        "--teacher",
        type=user_path,
        metavar="RUN",
        help="learn, too, to find the same pictures alike as the network of an earlier run does, "
        "one of more bits or layers; RUN is that run's folder",
    )


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add how it is trained; see `chosen_recipe`."""
    group = parser.add_argument_group("recipe (without a value: as the preset says)")
    group.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="paper",
        help="paper: as published; vpr: for places under changed light and viewpoint; "
        "thresholds: no training, only thresholds for changed light, --from older weights",
    )
    group.add_argument("--epochs", type=at_least(0, float), metavar="N", help="length of the run")
    group.add_argument(
        "--minutes", type=at_least(0.001, float), metavar="MIN", help="stop after this time"
    )
    group.add_argument("--batch", type=at_least(1), metavar="N", help="images a step")
    group.add_argument(
        "--sequences",
        action="append",
        metavar="SOURCE[,EVERY]",
        help="learn places from drives, too, half as many a step as images: a frame and the next "
        "one show a place from two sides, others do not. A bag, a video, or a folder with images "
        "in it or below it, where names that differ in their last number only are a drive; of all "
        "every EVERY-th frame, a second apart or so. May be repeated",
    )
    add_strict_option(group)
    group.add_argument(
        "--learning-rate", type=at_least(0, float), metavar="RATE", help="Adam's, at the start"
    )
    group.add_argument(
        "--moves",
        type=_moves,
        metavar="SIDEWAYS,UPWARDS",
        help="how far the views of a place lie apart, shares of their side, as 0.1,0.05; the same "
        "throughout the run, where presets let it fall",
    )
    group.add_argument(
        "--classification",
        type=at_least(0, float),
        metavar="WEIGHT",
        help="of telling classes, beside 1 for telling places; the same throughout the run",
    )
    group.add_argument(
        "--seed", type=at_least(0), default=1, metavar="N", help="decides all chance"
    )
    group.add_argument("--threads", type=at_least(1), default=2, metavar="N", help="CPU threads")
    group.add_argument(
        "--image-side",
        type=at_least(67),
        default=256,
        metavar="PX",
        help="images are kept at this size; 128 for miniplaces",
    )
    group.add_argument(
        "--cache", type=at_least(0, float), default=2.0, metavar="GIB", help="for decoded images"
    )


def add_validation_options(parser: argparse.ArgumentParser) -> None:
    """Add what is measured as training goes on."""
    group = parser.add_argument_group("validation")
    group.add_argument(
        "--traverses",
        action="append",
        metavar="QUERY,REFERENCE,TOLERANCE[,EVERY[,FRAMES]]",
        help="two traverses taken in step (folders, videos or bags) to measure on: every "
        "EVERY-th of the first FRAMES, right within TOLERANCE frames. S_P100 is measured rigid, "
        "as in the paper, and tolerant, of feature maps shifted against each other, and the "
        "recall at full precision along the drive. May be repeated; the best mean of S_P100, "
        "rigid and tolerant, with the synthetic route's, decides which weights are kept. Without "
        "any, the accuracy on 'val' does where the recipe only classifies",
    )
    group.add_argument(
        "--synthetic-route",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure on the synthetic route, too: 130 frames at dusk against 150 by day, "
        "right within 2 m; painting them takes ten seconds at the start",
    )
    group.add_argument(
        "--validate-every", type=at_least(0.01, float), default=5.0, metavar="MIN", help="minutes"
    )


def chosen_recipe(arguments: argparse.Namespace) -> Recipe:
    """The preset with what the command line says otherwise."""
    given: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in ("epochs", "batch", "learning_rate")
        if getattr(arguments, name) is not None
    }
    preset = PRESETS[arguments.preset]
    if arguments.moves is not None:
        given |= {"views": replace(preset.views, shift=arguments.moves), "final_shift": 1.0}
    if arguments.classification is not None:
        given |= {"classification": arguments.classification, "final_classification": 1.0}
    return replace(preset, **given)


def _moves(text: str) -> tuple[float, float]:
    try:
        sideways, upwards = (float(value) for value in text.split(","))
    except ValueError:
        sideways = upwards = math.nan
    if not (0 <= sideways <= 1 and 0 <= upwards <= 1):
        raise argparse.ArgumentTypeError(f"'{text}' is not SIDEWAYS,UPWARDS of 0 to 1, as 0.1,0.05")
    return sideways, upwards
