# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A pair of a dataset as two bags and a ground-truth file, under names that others can find.

In the output folder: `<dataset>_<traverse>` for each of the two bags, and
`<dataset>_<query>_on_<reference>.csv` with the ground truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from floppynet_vpr.datasets.bags import WrittenBag, natural_encoding, write_bag
from floppynet_vpr.datasets.catalogue import Pair
from floppynet_vpr.datasets.frames import Progress, decoded, noted
from floppynet_vpr.datasets.traverse_pairs import TraversePair
from floppynet_vpr.datasets.truth_files import write_truth
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.stamps import SECOND_NS

DAY_NS = 86_400 * SECOND_NS
"""The query starts a day after the reference, so that no two frames share a stamp."""


@dataclass(frozen=True)
class PairFiles:
    """Where the two bags and the ground truth of a pair are."""

    reference: Path
    query: Path
    truth: Path


def pair_files(folder: Path, dataset: str, pair: Pair) -> PairFiles:
    """The names under which `write_pair` writes, whether or not they exist."""
    return PairFiles(
        folder / f"{dataset}_{pair.reference}",
        folder / f"{dataset}_{pair.query}",
        folder / f"{dataset}_{pair.query}_on_{pair.reference}.csv",
    )


def write_pair(
    pair: TraversePair,
    folder: Path,
    progress: Progress,
    *,
    encoding: str | None = None,
    storage: str = "sqlite3",
    start_ns: int = 0,
    force: bool = False,
    skipped: Callable[[ImageError], object] | None = None,
) -> tuple[list[WrittenBag], PairFiles]:
    """Write both traverses as bags, with GPS positions where they are known, and the truth.

    `encoding` None keeps image files as they are: jpeg, png or, of others, bgr8. `start_ns` is the
    first stamp of the reference; the query begins a day later. Frames that cannot be read are told
    to `skipped` and left out. All else, and VprError, is as with `write_bag`.
    """
    files = pair_files(folder, pair.dataset, Pair(pair.query.label, pair.reference.label))
    written, used = [], dict[str, list[int]]()
    for traverse, out, gps, start in (
        (pair.reference, files.reference, pair.reference_gps, start_ns),
        (pair.query, files.query, pair.query_gps, start_ns + DAY_NS),
    ):
        numbers = used[traverse.label] = []
        frames = decoded(noted(traverse.pending(), numbers), 1, skipped)
        written.append(
            write_bag(
                progress(frames, len(traverse), traverse.label),
                out,
                encoding=encoding or natural_encoding(traverse.names),
                storage=storage,
                start_ns=start,
                # Goes on as `numbers` grows.
                positions=None if gps is None else (gps[number].tolist() for number in numbers),
                force=force,
            )
        )
    try:
        kept = pair.only(used[pair.query.label], used[pair.reference.label])
        write_truth(files.truth, kept.truth)
    except OSError as error:
        raise VprError(f"cannot write {files.truth}: {error.strerror}") from error
    return written, files
