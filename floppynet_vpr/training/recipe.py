# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a training run is told, as plain data: the recipe, its presets, the switches of Figure 8.

Nothing here imports torch, so that `train --help` works without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from floppynet_vpr.errors import VprError
from floppynet_vpr.network.layers import NETWORKS, NetworkSpec, network_spec

SHALLOW = "-shallow"
"""Ends the name of a network without conv3 and conv4 that has no name in Table II."""


class TrainingError(VprError):
    """A training run that cannot start or go on as it was asked to."""


@dataclass(frozen=True)
class Views:
    """How training pictures are made from an image; zero everywhere is the plain image.

    `side`: pixels of the square that the network sees. `zoom`: smallest and largest share (0 to 1]
    of the image's side shown. `shift` (sideways, up and down) and `perspective`: how far a view is
    moved as a whole, and its corners singly, as a share of its side; `parallax`: how far parts of
    it move against each other, as if they were at different distances, a standard deviation.
    `advance`: by what share at most each further region of an image is smaller than the one
    before, as when a camera goes ahead. `light`: 0 (none) to 1, strength of the changes of light
    and weather; `blur`: the share of views that lose detail; `flip`: whether half of the images are
    mirrored.
    """

    side: int = 227
    zoom: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    perspective: float = 0.0
    parallax: float = 0.0
    advance: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    flip: bool = False

    def __post_init__(self) -> None:
        low, high = self.zoom
        if self.side < 67 or not 0 < low <= high <= 1:
            raise TrainingError("views need a side of at least 67 pixels and 0 < zoom <= 1")
        if not (0 <= self.light <= 1 and 0 <= self.blur <= 1 and 0 <= self.advance < 1):
            raise TrainingError("views need light and blur of 0 to 1, and an advance below 1")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    `alike` images of one class follow each other in a batch, those that are hardest to tell apart.
    `contrastive` weighs the InfoNCE term over two views of an image, on normalised pool5 at
    `temperature`. `regions` of each image, one ahead of the other, count as places of their own:
    the views of a place differ sideways and in light, the places of a way lengthwise.
    `classification` weighs the cross entropy of the head. `decay` averages the
    latent weights exponentially (0: none); what is validated and exported is the average.
    `final_rate`, `final_shift`, `final_classification`: the shares to which the learning rate, the
    shift of views and the weight of classification fall by the end, along half a cosine.
    `warm_latent` is the size that the latent weights of an older network start from: from 0.1
    hardly a sign changes in an hour. `norms_side`, if not 0: before validation and export the
    features' BatchNorm statistics are taken anew, on views of this size that show at least half of
    the image's side, not moved, in light changed by `norms_light`.
    """

    batch: int = 24
    alike: int = 1
    epochs: float = 150.0
    learning_rate: float = 5e-4
    final_rate: float = 1.0
    final_shift: float = 1.0
    final_classification: float = 1.0
    views: Views = Views()
    classification: float = 1.0
    contrastive: float = 0.0
    temperature: float = 0.1
    regions: int = 1
    decay: float = 0.0
    warm_latent: float = 0.02
    norms_side: int = 0
    norms_light: float = 0.0
    bfloat16: bool = True

    def __post_init__(self) -> None:
        if self.contrastive and self.batch < 2:
            raise TrainingError("the contrastive term needs a batch of at least 2 images")
        if not (self.classification or self.contrastive):
            raise TrainingError("a recipe needs the classification or the contrastive term")
        if self.regions > 1 and not self.views.advance:
            raise TrainingError("regions of an image differ only if `advance` is above 0")

    @property
    def view_count(self) -> int:
        """Pictures made from each image of a batch."""
        return 2 if self.contrastive else 1


PRESETS: dict[str, Recipe] = {
    "paper": Recipe(),
    "vpr": Recipe(
        batch=24,
        alike=3,
        epochs=400.0,
        learning_rate=1e-3,
        final_rate=0.02,
        final_shift=0.7,
        final_classification=0.3,
        views=Views(
            side=115,
            zoom=(0.6, 1.0),
            shift=(0.2, 0.06),
            perspective=0.06,
            parallax=0.04,
            advance=0.3,
            light=0.95,
            blur=0.25,
            flip=True,
        ),
        classification=1.0,
        contrastive=1.0,
        temperature=0.08,
        regions=2,
        decay=0.997,
        norms_side=115,
        norms_light=1.0,
    ),
    "thresholds": Recipe(
        batch=128,
        epochs=0.0,
        views=Views(115, (0.5, 1.0), flip=True),
        norms_side=115,
        norms_light=1.0,
    ),
}
"""The recipes that can be asked for by name.

`paper`: as published. `vpr`: for recognising places under changed light and viewpoint; it has more
epochs than anybody waits for, so that a limit in minutes decides.
`thresholds`: no training at all; older weights keep their filters, and their thresholds move from
the statistics of plain images to those in changed light.
"""


def trained_spec(
    name: str,
    *,
    binarise: bool | None = None,
    shallow: bool | None = None,
    head_width: int | None = None,
    head_bits: int | None = None,
) -> NetworkSpec:
    """Look up a network and turn the switches of Figure 8; None leaves a switch as it is.

    `binarise`: 1-bit weights and activations, or 32 bits; `shallow`: without conv3 and conv4;
    `head_width`, `head_bits`: units and precision of the fully connected stage.
    """
    spec = network_spec(name)
    bits = spec.weight_bits if binarise is None else (1 if binarise else 32)
    reduced = len(spec.convs) == len(NETWORKS["floppynet"].convs)
    reduced = reduced if shallow is None else shallow
    if 1 < bits < 32 and not reduced:
        raise TrainingError(f"{spec.title} is shallow: there is no deeper network of {bits} bits")
    if bits != spec.weight_bits or reduced != (len(spec.convs) == 3):
        base = {
            (True, True): "floppynet",
            (True, False): "binarynet",
            (False, True): "baseline",
            (False, False): "baseline",
        }[bits == 1, reduced]
        layers = NETWORKS["floppynet" if reduced else "baseline"].layers
        spec = replace(
            NETWORKS[base], layers=layers, head_units=spec.head_units, head_bits=spec.head_bits
        )
        if bits == 32 and reduced:
            spec = replace(spec, name=f"baseline{SHALLOW}", title="Baseline without conv3, conv4")
    if head_width is not None:
        spec = replace(spec, head_units=(head_width,) * len(spec.head_units))
    return spec if head_bits is None else replace(spec, head_bits=head_bits)
