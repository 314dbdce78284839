# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop.

A step draws its images and its views from generators seeded with the run's seed and the step's
number, so a run that was killed and goes on from its checkpoint takes the very steps it would have
taken; torch's own sums are repeatable for a given number of threads.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from floppynet_vpr.network.layers import NetworkSpec
from floppynet_vpr.network.weights import NetworkWeights
from floppynet_vpr.training.checkpoint import load_checkpoint, save_checkpoint
from floppynet_vpr.training.export import estimate_norms, warm_start, write_network
from floppynet_vpr.training.images import LabelledImages, PixelCache
from floppynet_vpr.training.log import RunLog
from floppynet_vpr.training.losses import distillation, info_nce
from floppynet_vpr.training.model import Features, Network
from floppynet_vpr.training.recipe import Recipe, TrainingError
from floppynet_vpr.training.sequences import Sequences
from floppynet_vpr.training.validation import Validation
from floppynet_vpr.training.views import make_views

CHECKPOINT_SECONDS = 50.0
_NORM_IMAGES = 768
_NORM_ZOOM = (0.5, 1.0)

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class RunPlan:
    """One run: what to train, on what, for how long, and where its files go.

    `steps` ends the run; `minutes` ends it earlier by the clock. The learning rate falls along
    whichever of the two is further on. `validate_seconds`: time between validations.
    `image_side`: pixels that images are kept at before views are made of them.
    """

    spec: NetworkSpec
    recipe: Recipe
    output: Path
    seed: int = 1
    minutes: float = math.inf
    validate_seconds: float = 300.0
    image_side: int = 128
    cache_bytes: int = 0


class Trainer:
    """A run under way: the network, its average, the optimiser and the clock."""

    def __init__(
        self,
        plan: RunPlan,
        images: LabelledImages,
        validation: Validation,
        start: NetworkWeights | Features | None = None,
        teacher: Features | None = None,
        sequences: Sequences | None = None,
    ) -> None:
        """Make the network, from `start` where given; goes on from a checkpoint if there is one.

        `teacher` adds `losses.distillation`, with the recipe's temperature, to the loss.
        `sequences` add places to every step, half as many as it has images.
        """
        self.plan, self.validation, self.teacher = plan, validation, teacher
        self.sequences = sequences
        if sequences is not None and not plan.recipe.contrastive:
            raise TrainingError(
                "drives have no classes to learn: a recipe for sequences has the contrastive term"
            )
        self._cache = PixelCache(images, plan.image_side, plan.cache_bytes)
        self._labels = torch.from_numpy(images.labels)
        if len(images.labels) < plan.recipe.batch:
            raise TrainingError(
                f"{len(images.labels)} images are too few for batches of {plan.recipe.batch}"
            )
        self.total_steps = round(plan.recipe.epochs * self.epoch_steps)
        self.step, self.seconds, self.best = 0, 0.0, -math.inf
        torch.manual_seed(plan.seed)
        network = Network(plan.spec, len(images.classes), plan.recipe.views.side)
        self.network = network.to(memory_format=torch.channels_last)
        self._from_run = isinstance(start, Features)
        if start is not None:
            self._start(start)
        self.average = copy.deepcopy(self.network)
        rate = plan.recipe.learning_rate
        self.optimiser = torch.optim.Adam(self.network.parameters(), rate)
        self._log = RunLog(plan.output / "log.csv")
        if self.checkpoint_file.is_file():
            self._resume()

    def _start(self, start: NetworkWeights | Features) -> None:
        spec, features = self.plan.spec, self.network.features
        if not isinstance(start, Features):
            pixels = self.views(0, self.indices(0), 1)[0]
            warm_start(features, start, self.plan.recipe.warm_latent, pixels)
        elif (start.spec.layers, start.spec.weight_bits) == (spec.layers, spec.weight_bits):
            features.load_state_dict(start.state_dict())
        else:
            raise TrainingError(f"a run of {start.spec.title} cannot start {spec.title}")

    @property
    def epoch_steps(self) -> int:
        """Steps that show each image once."""
        return len(self._labels) // self.plan.recipe.batch

    @property
    def checkpoint_file(self) -> Path:
        """Where the run's state is."""
        return self.plan.output / "checkpoint.pt"

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1, by steps or by the clock."""
        if self.step >= self.total_steps:
            return 1.0
        return min(1.0, max(self.step / self.total_steps, self.seconds / 60 / self.plan.minutes))

    def run(self, report: Report, validated: Report) -> None:
        """Train to the end; `report` gets the losses of each step, `validated` each measurement."""
        before = saved = time.monotonic()
        last = self.seconds
        if self.step == 0:
            validated(self.validate())
            self.save()
        while self.progress < 1:
            figures = self.train_step()
            now = time.monotonic()
            self.seconds += now - before
            before = now
            report(figures)
            if self.seconds - last > self.plan.validate_seconds or self.progress >= 1:
                validated(self.validate())
                last = self.seconds
                before = time.monotonic()
            if time.monotonic() - saved > CHECKPOINT_SECONDS or self.progress >= 1:
                self.save()
                saved = before = time.monotonic()

    def train_step(self) -> dict[str, float]:
        """Take one step of the optimiser; returns its losses."""
        recipe = self.plan.recipe
        indices = self.indices(self.step)
        views = self.views(self.step, indices, recipe.view_count)
        pixels = torch.cat(views).contiguous(memory_format=torch.channels_last)
        labels = self._labels[torch.from_numpy(indices)].repeat(recipe.regions)
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.network.train()
        with self._precision():
            pool5, scores = self.network(pixels)
        loss = torch.zeros(())
        figures = {}
        if recipe.classification:
            labelled = torch.cat([part[: len(labels)] for part in scores.chunk(len(views))])
            entropy = functional.cross_entropy(labelled.float(), labels.repeat(len(views)))
            weight = recipe.classification * self._falling(recipe.final_classification)
            loss = loss + weight * entropy
            figures["classification"] = float(entropy.detach())
        if recipe.contrastive:
            first, second = pool5.chunk(2)
            contrast = info_nce(first, second, recipe.temperature)
            loss = loss + recipe.contrastive * contrast
            figures["contrastive"] = float(contrast.detach())
        if self.teacher is not None:
            with torch.no_grad(), self._precision():
                wanted = self.teacher(pixels)
            likeness = distillation(pool5, wanted, recipe.temperature)
            loss = loss + likeness
            figures["distillation"] = float(likeness.detach())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.network.clip_latent()
        self.step += 1
        self._update_average()
        return figures

    def _precision(self) -> torch.autocast:
        """bfloat16 if the recipe has it and the processor too: emulated, a step takes a minute."""
        fast = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return torch.autocast("cpu", torch.bfloat16, enabled=self.plan.recipe.bfloat16 and fast)

    def views(self, step: int, indices: NDArray[np.int64], count: int) -> list[Tensor]:
        """The pictures of a step: `count` times (batch x regions, 3, side, side) of 0 to 255.

        Where there are sequences, two views of their places follow.
        """
        chance = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + step)
        images = torch.from_numpy(self._cache.batch(indices)).float()
        recipe = self.plan.recipe
        (sideways, upwards), share = recipe.views.shift, self._falling(recipe.final_shift)
        views = replace(recipe.views, shift=(sideways * share, upwards * share))
        found = make_views(images, views, count, chance, recipe.regions)
        if self.sequences is None or count < 2:
            return found
        drawn = self.sequences.draw(
            recipe.batch // 2, np.random.default_rng([self.plan.seed, step])
        )
        # The camera moved already.
        still = replace(views, shift=(0.0, 0.0), perspective=0.0, parallax=0.0)
        beside = make_views(torch.from_numpy(drawn).float(), still, count, chance)
        return [torch.cat(pair) for pair in zip(found, beside, strict=True)]

    def validate(self) -> dict[str, float]:
        """Measure the run, log it, and keep the averaged weights if they are the best.

        Accuracy is that of the network in training, S_P100 that of the averaged features.
        """
        self._estimate_norms()
        figures = self.validation.measure(
            self.network, self.average.features, self.plan.recipe.views.side, self.plan.image_side
        )
        mean = float(np.mean([figures[name] for name in self.validation.judges]))
        self._log.add(self.step, self.seconds, self._learning_rate(), figures)
        if mean > self.best:
            self.best = mean
            self.export("best")
        return figures

    def counted_figures(self) -> dict[str, tuple[float, int]]:
        """What the last validation measured: percent, and of how many images or queries."""
        counts = self.validation.counts
        return {name: (value, counts[name]) for name, value in self._log.figures().items()}

    def export(self, name: str) -> tuple[Path, ...]:
        """Write the averaged network as files called `name`, which are returned."""
        return write_network(self.average.features, self.plan.output, name)

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "judges": self.validation.judges,
            "plan": self._fixed(),
            "network_name": self.plan.spec.name,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        save_checkpoint(self.checkpoint_file, state)

    def _resume(self) -> None:
        state = load_checkpoint(self.checkpoint_file)
        if state["plan"] != self._fixed():
            raise TrainingError(
                f"{self.plan.output} holds a run of another network, recipe, teacher, sequences "
                "or seed: go on with the same, or choose another folder"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        # A mean over other traverses says nothing about these.
        if state.get("judges") == self.validation.judges:
            self.best = state["best"]
        self._log.forget_after(self.step)

    def _fixed(self) -> dict[str, Any]:
        """What must not change within a run; its length may."""
        recipe = {k: v for k, v in asdict(self.plan.recipe).items() if k != "epochs"}
        taught = {"teacher": self.teacher.spec.name} if self.teacher is not None else {}
        if self.sequences is not None:
            taught["sequences"] = str(len(self.sequences.frames))
        return taught | {
            "spec": repr(self.plan.spec),
            "recipe": repr(recipe),
            "seed": self.plan.seed,
            "images": len(self._labels),
        }

    def indices(self, step: int) -> NDArray[np.int64]:
        """The images of a step: each epoch is a new order, `alike` of a class together."""
        epoch, within = divmod(step, self.epoch_steps)
        batch, alike = self.plan.recipe.batch, self.plan.recipe.alike
        chance = np.random.default_rng([self.plan.seed, epoch])
        order = chance.permutation(len(self._labels))
        if alike > 1:
            by_class = order[np.argsort(self._labels.numpy()[order], kind="stable")]
            groups = np.array_split(by_class, -(-len(by_class) // alike))
            order = np.concatenate([groups[i] for i in chance.permutation(len(groups))])
        return order[within * batch : (within + 1) * batch].astype(np.int64)

    def _learning_rate(self) -> float:
        return self.plan.recipe.learning_rate * self._falling(self.plan.recipe.final_rate)

    def _falling(self, final: float) -> float:
        """A share that goes from 1 to `final` over the run, along half a cosine."""
        return final + (1 - final) * (1 + math.cos(math.pi * self.progress)) / 2

    def _update_average(self) -> None:
        decay = min(self.plan.recipe.decay, self.step / (self.step + 10))
        decay = decay if self.plan.recipe.decay else 0.0
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for mean, value in pairs:
                mean.lerp_(value, 1 - decay)
            buffers = zip(self.average.buffers(), self.network.buffers(), strict=True)
            for mean, value in buffers:
                mean.copy_(value)

    def _estimate_norms(self) -> None:
        """Fit the average's statistics to its weights and to the images it will see."""
        recipe = self.plan.recipe
        own = recipe.decay == 0 and not (self._from_run and self.step == 0)
        if own and not recipe.norms_side:
            return
        views = recipe.views
        if recipe.norms_side:
            views = replace(
                views,
                side=recipe.norms_side,
                zoom=_NORM_ZOOM,
                light=recipe.norms_light,
                shift=(0.0, 0.0),
                perspective=0.0,
                parallax=0.0,
            )
        chance = torch.Generator().manual_seed(self.plan.seed)
        indices = self.indices(0)
        while len(indices) < min(_NORM_IMAGES, self.epoch_steps * recipe.batch):
            indices = np.concatenate([indices, self.indices(len(indices) // recipe.batch)])
        batches = []
        for part in np.array_split(indices, -(-len(indices) // 32)):
            images = torch.from_numpy(self._cache.batch(part)).float()
            batches.append(make_views(images, views, 1, chance)[0])
        estimate_norms(self.average.features, batches)
