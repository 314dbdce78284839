# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`train`: trains a network of the family and exports its weights."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from floppynet_vpr.commands.common import UnusableFrames, at_least, make_parser, parse, run
from floppynet_vpr.files import user_path, write_atomically
from floppynet_vpr.network.layers import NETWORKS, NetworkSpec
from floppynet_vpr.network.weights import load_weights, weights_path
from floppynet_vpr.training.ablation import CAVEATS, Outcome, csv_text, table, variants
from floppynet_vpr.training.recipe import PRESETS, Recipe, TrainingError, trained_spec

if TYPE_CHECKING:
    from floppynet_vpr.network.weights import NetworkWeights
    from floppynet_vpr.training.model import Features
    from floppynet_vpr.training.sequences import Sequences
    from floppynet_vpr.training.trainer import Trainer
    from floppynet_vpr.training.validation import Validation


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = make_parser(
        "train",
        "Train a network of the family on labelled images. DATA holds 'train' and 'val': folders "
        "with a folder of images for each class (Places365's layout), or npz shards train*.npz "
        "and val*.npz. The run lives in the folder OUTPUT: best.fnet and final.fnet with their "
        "ONNX files (of full precision .onnx and .yaml, which `evaluate` takes), log.csv (the "
        "curve), checkpoint.pt. Give the same command again to go on "
        "after an interruption: at most a minute is lost. Needs PyTorch: "
        "pip install 'floppynet_vpr[train]'.",
        "  the published recipe, whole:\n"
        "    ros2 run floppynet_vpr train places365/ --output paper_run\n"
        "  for recognising places, two hours, choosing by two traverses:\n"
        "    ros2 run floppynet_vpr train miniplaces/ --output run_4 --network floppynet-4 \\\n"
        "        --preset vpr --minutes 120 \\\n"
        "        --traverses gardens_point/day_left,gardens_point/day_right,2\n"
        "  a smaller network that learns from that one, too:\n"
        "    ros2 run floppynet_vpr train miniplaces/ --output run_1 --preset vpr \\\n"
        "        --minutes 120 --teacher run_4\n"
        "  the shipped weights further, for matching that takes care of moves, beside drives:\n"
        "    ros2 run floppynet_vpr train miniplaces/ --output run_2 --preset vpr --batch 64 \\\n"
        "        --from floppynet --moves 0.1,0.05 --classification 0.3 --minutes 66 \\\n"
        "        --sequences indoor_tower/\n"
        "  the mean of what several runs have learned:\n"
        "    ros2 run floppynet_vpr train miniplaces/ --output mean --preset vpr \\\n"
        "        --average run_1 run_2\n"
        "  the eight bars of Figure 8 with the same small budget, and their table:\n"
        "    ros2 run floppynet_vpr train miniplaces/ --output bars --ablation --epochs 2\n"
        "  one of them, binary but neither shallow nor with a small head:\n"
        "    ros2 run floppynet_vpr train places365/ --output bar --network baseline --binarise",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with train and val")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="the run's folder"
    )
    _add_network_options(parser)
    _add_recipe_options(parser)
    group = parser.add_argument_group("validation")
    group.add_argument(
        "--traverses",
        action="append",
        default=[],
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
    return parser


def _add_network_options(parser: argparse.ArgumentParser) -> None:
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


def _add_recipe_options(parser: argparse.ArgumentParser) -> None:
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
        default=[],
        metavar="SOURCE[,EVERY]",
        help="learn places from drives, too, half as many a step as images: a frame and the next "
        "one show a place from two sides, others do not. A bag, a video, or a folder with images "
        "in it or below it, where names that differ in their last number only are a drive; of all "
        "every EVERY-th frame, a second apart or so. May be repeated",
    )
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


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _train(arguments))


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


def _train(arguments: argparse.Namespace) -> int:
    recipe = chosen_recipe(arguments)
    if arguments.ablation:
        _check_ablation(arguments)
    if arguments.average is not None:
        _check_average(arguments)
        recipe = replace(recipe, epochs=0.0)
    try:
        import torch
    except ImportError:
        raise TrainingError(
            "training needs PyTorch: pip install 'floppynet_vpr[train]' (or make train-env)"
        ) from None

    torch.set_num_threads(arguments.threads)
    validation = _validation(arguments, recipe)
    if arguments.ablation:
        return _ablate(arguments, recipe, validation)
    spec = trained_spec(
        arguments.network,
        binarise=arguments.binarise,
        shallow=arguments.shallow,
        head_width=arguments.head_width,
        head_bits=arguments.head_bits,
    )
    spec, start = _opened_start(arguments, spec)
    trainer = _run(arguments, spec, recipe, arguments.output, validation, start)
    for file in (*arguments.output.glob("best.*"), *trainer.export("final")):
        print(f"wrote {file}")
    judges = ", ".join(validation.judges)
    print(f"wrote {arguments.output / 'log.csv'}; best mean {trainer.best:.1f} ({judges})")
    return 0


def _opened_start(
    arguments: argparse.Namespace, spec: NetworkSpec
) -> tuple[NetworkSpec, NetworkWeights | Features | None]:
    """What to begin with, and the network: of a mean of runs it is theirs."""
    from floppynet_vpr.training.checkpoint import load_features, mean_features

    if arguments.average is not None:
        mean = mean_features(arguments.average)
        return mean.spec, mean
    if arguments.start is None:
        return spec, None
    if arguments.start.is_dir():
        return spec, load_features(arguments.start)
    return spec, load_weights(arguments.start)


def _opened_sequences(arguments: argparse.Namespace) -> Sequences | None:
    from floppynet_vpr.training.sequences import open_sequences

    if not arguments.sequences:
        return None
    unusable = UnusableFrames()
    found = open_sequences(
        arguments.sequences, arguments.image_side, int(arguments.cache * 2**30), unusable
    )
    unusable.tell()
    print(f"{len(found.frames):,} frames of drives, {len(found.firsts):,} with a next one")
    return found


def _validation(arguments: argparse.Namespace, recipe: Recipe) -> Validation:
    from floppynet_vpr.training.images import open_images
    from floppynet_vpr.training.validation import Validation, open_pair, synthetic_pair

    images = open_images(arguments.data, "val")
    pairs = [open_pair(text) for text in arguments.traverses]
    if arguments.synthetic_route:
        pairs.append(synthetic_pair())
    # A recipe that only classifies, as the published one does, keeps the best accuracy.
    by_places = bool(arguments.traverses or recipe.contrastive)
    return Validation(images, tuple(pairs), by_places=by_places)


def _run(
    arguments: argparse.Namespace,
    spec: NetworkSpec,
    recipe: Recipe,
    output: Path,
    validation: Validation,
    start: NetworkWeights | Features | None = None,
) -> Trainer:
    """Train one network to the end, with a bar."""
    from tqdm import tqdm

    from floppynet_vpr.training.checkpoint import load_features
    from floppynet_vpr.training.images import open_images
    from floppynet_vpr.training.trainer import RunPlan, Trainer

    plan = RunPlan(
        spec,
        recipe,
        output,
        seed=arguments.seed,
        minutes=arguments.minutes or math.inf,
        validate_seconds=60 * arguments.validate_every,
        image_side=arguments.image_side,
        cache_bytes=int(arguments.cache * 2**30),
    )
    teacher = load_features(arguments.teacher) if arguments.teacher else None
    images = open_images(arguments.data, "train")
    sequences = _opened_sequences(arguments)
    trainer = Trainer(plan, images, validation, start, teacher, sequences)
    print(
        f"{spec.title}, preset {arguments.preset}: {trainer.total_steps:,} steps of "
        f"{recipe.batch} images, {trainer.step:,} of them done"
    )
    # Shares of the run, since the clock may end it before the steps do.
    bar = tqdm(
        total=100.0,
        initial=100 * trainer.progress,
        disable=None,
        bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
    )

    def report(losses: dict[str, float]) -> None:
        bar.set_postfix(losses, refresh=False)
        bar.update(100 * trainer.progress - bar.n)

    def validated(figures: dict[str, float]) -> None:
        values = ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
        bar.write(f"{trainer.seconds / 60:6.1f} min, step {trainer.step:,}: {values}")
        sys.stdout.flush()

    with bar:
        trainer.run(report, validated)
    return trainer


def _check_ablation(arguments: argparse.Namespace) -> None:
    switches = ("binarise", "shallow", "head_width", "head_bits", "start", "teacher")
    if arguments.network != "floppynet" or any(
        getattr(arguments, name) is not None for name in switches
    ):
        raise TrainingError(
            "--ablation trains the networks of Figure 8, all from scratch: leave out --network, "
            "its switches, --from and --teacher"
        )


def _check_average(arguments: argparse.Namespace) -> None:
    others = ("start", "teacher", "epochs", "minutes", "binarise", "shallow", "head_width")
    if (
        arguments.ablation
        or arguments.sequences
        or any(getattr(arguments, name) is not None for name in (*others, "head_bits"))
    ):
        raise TrainingError(
            "--average trains nothing and takes the network of its runs: leave out --from, "
            "--teacher, --sequences, --epochs, --minutes, --ablation and the network's switches"
        )


def _ablate(arguments: argparse.Namespace, recipe: Recipe, validation: Validation) -> int:
    """Train the variants in turn; a later call goes on where this one was stopped."""
    outcomes = []
    for variant in variants():
        print(f"\n{variant.name}:")
        folder = arguments.output / variant.name
        trainer = _run(arguments, variant.spec, recipe, folder, validation)
        outcomes.append(
            Outcome(variant, trainer.step, trainer.seconds / 60, trainer.counted_figures())
        )
        file = arguments.output / "ablation.csv"
        write_atomically(file, (csv_text(outcomes).encode(),))
    print(f"\n{table(outcomes)}\n\n{fill(CAVEATS, 90)}\nwrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
