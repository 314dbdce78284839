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
from typing import TYPE_CHECKING

from floppynet_vpr.commands.common import UnusableFrames, add_results_option, command, make_parser
from floppynet_vpr.commands.train_options import (
    add_network_options,
    add_recipe_options,
    add_validation_options,
    chosen_recipe,
)
from floppynet_vpr.files import user_path, write_atomically
from floppynet_vpr.network.layers import NetworkSpec
from floppynet_vpr.network.weights import load_weights
from floppynet_vpr.training.ablation import CAVEATS, Outcome, csv_text, table, variants
from floppynet_vpr.training.recipe import Recipe, TrainingError, trained_spec
from floppynet_vpr.training.threads import use_threads

if TYPE_CHECKING:
    from floppynet_vpr.network.weights import NetworkWeights
    from floppynet_vpr.training.model import Features
    from floppynet_vpr.training.sequences import Sequences
    from floppynet_vpr.training.trainer import Trainer
    from floppynet_vpr.training.validation import Validation


def build_parser() -> argparse.ArgumentParser:
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
    parser.add_argument("data", type=user_path, metavar="DATA", help="folder with train and val")
    add_results_option(parser)
    add_network_options(parser)
    add_recipe_options(parser)
    add_validation_options(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    recipe = chosen_recipe(arguments)
    if arguments.ablation:
        _check_ablation(arguments)
    if arguments.average is not None:
        _check_average(arguments)
        recipe = replace(recipe, epochs=0.0)
    try:
        use_threads(arguments.threads)
    except ImportError:
        raise TrainingError(
            "training needs PyTorch: pip install 'floppynet_vpr[train]' (or make train-env)"
        ) from None

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

    if arguments.sequences is None:
        return None
    unusable = UnusableFrames()
    found = open_sequences(
        arguments.sequences,
        arguments.image_side,
        int(arguments.cache * 2**30),
        None if arguments.strict else unusable,
    )
    unusable.tell()
    print(f"{len(found.frames):,} frames of drives, {len(found.firsts):,} with a next one")
    return found


def _validation(arguments: argparse.Namespace, recipe: Recipe) -> Validation:
    from floppynet_vpr.training.images import open_images
    from floppynet_vpr.training.validation import Validation, open_pair, synthetic_pair

    images = open_images(arguments.data, "val")
    pairs = [open_pair(text) for text in arguments.traverses or ()]
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
