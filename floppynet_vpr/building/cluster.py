# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Makes places of many sources with Dask: on processes of this machine, or on a cluster.

A source is one task, a long one as many as it has stretches, and each task works on one frame at a
time. What was lost with a worker is done again by another. Sources are named by path: workers find
them under the same path as whoever asks.
"""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from floppynet_vpr.building.drives import Part, Recipe, joined_parts, next_part
from floppynet_vpr.datasets.frames import FrameSource, Stretch
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.extractor import Extractor
from floppynet_vpr.extraction.factory import create_extractor
from floppynet_vpr.extraction.pipeline import DescribedFrame
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.mapping.reference_map import ReferenceMap
from floppynet_vpr.surroundings import what_is_denied

PIECE_FRAMES = 3000
"""Frames of a source that one task describes; their descriptors take 110 MB."""

_ANSWER_S = 20
_NO_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""A terminal's Ctrl-C reaches local workers, too: they are ended by whoever started them."""


@dataclass(frozen=True)
class Survey:
    """What a worker found when it opened a source."""

    frames: int
    stretches: list[Stretch]


@dataclass(frozen=True)
class _Order:
    """What a task needs beside its source; `release` is that of whoever asks."""

    recipe: Recipe
    release: str

    def open(self, path: Path) -> FrameSource:
        """Open a source on a worker; raises VprError, also on one of another release."""
        if self.release != _release():
            raise VprError(
                f"the worker on {socket.gethostname()} runs another floppynet_vpr than this: "
                "install the same on all machines"
            )
        return self.recipe.open(path)


@dataclass
class _Task:
    """A source on its way; `parts` are the futures of its parts, in order."""

    path: Path
    parts: list[Any] = field(default_factory=list)
    left: int = 1
    error: BaseException | None = None


@contextmanager
def cluster(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """Connect to the Dask scheduler at an address, or start so many workers here.

    Yields the `distributed.Client`. Raises VprError where Dask is not installed, nothing answers at
    the address, or no worker is there.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise VprError(
            f"--workers and --scheduler need Dask ({error}): pip install 'floppynet_vpr[fleet]'"
        ) from None
    with ExitStack() as stack:
        if scheduler is None:
            scratch = stack.enter_context(TemporaryDirectory(prefix="floppynet_vpr_workers_"))
            stack.enter_context(dask.config.set(temporary_directory=scratch))
            local = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL + 1,  # what goes wrong comes back with the futures
                preload=[_NO_CTRL_C],
            )
            address = stack.enter_context(local)
        else:
            address = scheduler
        try:
            client = distributed.Client(address, timeout=_ANSWER_S)
        except (OSError, ValueError) as error:
            raise VprError(
                f"no Dask scheduler answers at {scheduler} ({' '.join(str(error).split())}): start "
                "one with `dask scheduler`, and workers with `dask worker`"
            ) from None
        stack.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=_ANSWER_S)
        except TimeoutError:
            raise VprError(
                f"the Dask scheduler at {scheduler} has no workers: start some with "
                f"`dask worker {scheduler}`"
            ) from None
        yield client


def drives_on(
    client: Any,
    recipe: Recipe,
    paths: Sequence[Path],
    piece_frames: int,
    found: Callable[[Path, int], object],
    done: Callable[[int], object],
    skipped: Callable[[ImageError], object],
) -> Iterator[Callable[[], ReferenceMap]]:
    """Make places of sources on the cluster of a `distributed.Client`; paths are absolute.

    Sources with more than `piece_frames` are cut, where they can be. `found` is told of each source
    how many frames it promises, when a worker has opened it; `done` of how many frames more places
    were made; `skipped` of frames that could not be used. Gives for each source, in order and as
    soon as it is there, the function that fetches its map, of one session, or raises what went
    wrong with it: VprError, naming the source, for all that a user can put right.
    """
    from distributed import as_completed

    # Computed, so that it is made anew where the worker that holds it dies.
    order = client.submit(_Order, recipe, _release(), pure=False)
    tasks = [_Task(path) for path in paths]
    surveys: dict[Any, _Task] = {}
    parts: dict[Any, tuple[_Task, int]] = {}
    for task in tasks:
        surveys[client.submit(_survey, order, task.path, piece_frames, pure=False)] = task
    given = 0
    under_way = as_completed(list(surveys))
    for future in under_way:
        if future in surveys:
            task = surveys.pop(future)
            task.left = 0
            if future.status != "finished":
                task.error = named(task.path, future.exception())
            else:
                survey: Survey = future.result()
                found(task.path, survey.frames)
                frames = survey.frames
                for stretch in survey.stretches:
                    part = _submit(client, order, task, stretch, len(survey.stretches) > 1)
                    share = frames if stretch.numbers is None else len(stretch.numbers)
                    parts[part] = task, share
                    under_way.add(part)
        else:
            task, share = parts.pop(future)
            task.left -= 1
            done(share)
            if future.status != "finished" and task.error is None:
                task.error = named(task.path, future.exception())
        while given < len(tasks) and not tasks[given].left:
            yield partial(_collect, tasks[given], skipped)
            given += 1


def _submit(client: Any, order: Any, task: _Task, stretch: Stretch, cut: bool) -> Any:
    """Ask for the next part of a source."""
    if cut:
        before = task.parts[-1] if task.parts else None
        described = client.submit(_describe, order, task.path, stretch, pure=False)
        part = client.submit(_extend, order, before, described, pure=False)
    else:
        part = client.submit(_whole, order, task.path, stretch, pure=False)
    task.parts.append(part)
    task.left += 1
    return part


def _collect(task: _Task, skipped: Callable[[ImageError], object]) -> ReferenceMap:
    """Fetch what was made of a source; raises what went wrong with it."""
    parts, task.parts = task.parts, []
    if task.error is not None:
        raise task.error
    try:
        fetched = [part.result() for part in parts]
    except Exception as error:  # lost with a worker after all were there, and not made anew
        raise named(task.path, error) from None
    return joined_parts(task.path, fetched, skipped)


def named(path: Path, error: BaseException) -> BaseException:
    """Say of which source an error is, where a user can put it right."""
    from distributed import KilledWorker

    if isinstance(error, VprError):
        return error
    if isinstance(error, KilledWorker):
        return VprError(
            f"{path} was given up: {error.allowed_failures + 1} workers died at it, perhaps for "
            "lack of memory; see the workers' logs"
        )
    if denied := isinstance(error, Exception) and what_is_denied(error):
        return VprError(f"{path} was given up: on a worker, {denied}")
    return error


def _survey(order: _Order, path: Path, piece_frames: int) -> Survey:
    try:
        source = order.open(path)
        return Survey(len(source), source.stretches(piece_frames))
    except VprError as error:
        raise VprError(f"{error} (on {socket.gethostname()})") from None


def _whole(order: _Order, path: Path, stretch: Stretch) -> Part:
    unusable: list[ImageError] = []
    with _extractor(order.recipe) as extractor:
        source = order.open(path)
        frames = order.recipe.describe(source, stretch, [extractor], unusable.append)
        return next_part(order.recipe, None, frames, unusable)


def _describe(
    order: _Order, path: Path, stretch: Stretch
) -> tuple[list[DescribedFrame], list[ImageError]]:
    unusable: list[ImageError] = []
    with _extractor(order.recipe) as extractor:
        source = order.open(path)
        frames = order.recipe.describe(source, stretch, [extractor], unusable.append)
        return list(frames), unusable


def _extend(
    order: _Order,
    before: Part | None,
    described: tuple[list[DescribedFrame], list[ImageError]],
) -> Part:
    return next_part(order.recipe, before, *described)


@cache
def _idle(fingerprint: str, backend: str) -> SimpleQueue[Extractor]:
    """The extractors of this process that nobody uses at the moment; making one takes a second."""
    return SimpleQueue()


@contextmanager
def _extractor(recipe: Recipe) -> Iterator[Extractor]:
    idle = _idle(recipe.weights.fingerprint, recipe.backend)
    try:
        extractor = idle.get_nowait()
    except Empty:
        extractor = create_extractor(recipe.weights, recipe.backend)
    try:
        yield extractor
    finally:
        idle.put(extractor)


@cache
def _release() -> str:
    """What tells the code of this package from that of another release."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
