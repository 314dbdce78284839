# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Judges a recording of /vpr/loop_closure: what was measured is what ran.

Record it beside the node with `ros2 bag record /vpr/loop_closure`. Queries are recognised by the
stamp of their image, places by the stamp they were seen at; drives must be the bags that the node
and `build_map` got, for a folder of images has no stamps of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from floppynet_vpr.datasets.bag_files import open_bag
from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.drives import Drive
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.answers import Answer, FoundPlace
from floppynet_vpr.evaluation.retrieval import Retrieval
from floppynet_vpr.stamps import SECOND_NS, nanoseconds

MESSAGE: Final = "floppynet_vpr_msgs/msg/LoopClosure"
_PACKAGE: Final = "floppynet_vpr_msgs"


def read_answers(bag: Path, topic: str | None = None) -> list[Answer]:
    """Read the LoopClosure messages of a bag, in the order of recording.

    Raises:
        VprError: no bag, none of the messages in it, or several topics of them.
    """
    with open_bag(bag) as recording:
        found = sorted({c.topic for c in recording.connections if c.msgtype == MESSAGE})
        if topic is None and len(found) == 1:
            topic = found[0]
        if topic not in found:
            raise VprError(
                f"the bag {bag} has {'several topics' if found else 'no topic'} of {MESSAGE}"
                + (f", name one of: {', '.join(found)}" if found else "")
            )
        deserialize = _typestore().deserialize_cdr
        connections = [c for c in recording.connections if c.topic == topic]
        return [
            _answer(deserialize(data, MESSAGE), recorded_ns)
            for _, recorded_ns, data in recording.messages(connections)
        ]


def as_retrieval(
    answers: Sequence[Answer],
    query: Drive,
    reference: Drive,
    stamps: tuple[Sequence[int], Sequence[int]],
) -> Retrieval:
    """Bring answers into the order of the drives' frames.

    Args:
        answers: those of the node.
        query: the drive that was played to it.
        reference: the drive that its map was made of.
        stamps: of the frames of `query` and of `reference`, nanoseconds.

    Raises:
        VprError: not one answer belongs to the drives.
    """
    query_at = {stamp: index for index, stamp in enumerate(stamps[0])}
    reference_at = {stamp: index for index, stamp in enumerate(stamps[1])}
    width = max((len(answer.candidates) for answer in answers), default=0)
    ids = np.full((len(query), max(width, 1)), -1, np.int64)
    distances = np.full(ids.shape, np.inf)
    answered: set[int] = set()
    places = 0
    for answer in answers:
        row = query_at.get(answer.stamp_ns)
        if row is None or row in answered:
            continue
        answered.add(row)
        for rank, place in enumerate(answer.candidates):
            index = reference_at.get(place.stamp_ns)
            if index is not None:
                ids[row, rank], distances[row, rank] = index, place.distance
                places += 1
    if not answered:
        raise VprError(
            f"none of the {len(answers)} answers has the stamp of an image of {query.path}: is it "
            "the bag that was played?"
        )
    if not places:
        raise VprError(
            f"no place in the answers has the stamp of an image of {reference.path}: is it the bag "
            "that the map was made of?"
        )
    return Retrieval(ids, distances)


def stamps_of(drive: Drive) -> list[int]:
    """The stamps of a drive's frames, nanoseconds."""
    source = open_source(drive.path, topic=drive.topic, rate_hz=drive.rate_hz)
    if isinstance(source, BagFrames):
        stamps = source.stamps_ns()
        return [stamps[index] for index in drive.indices]
    return [frame.stamp_ns for frame in drive.frames()]


def _answer(message: Any, recorded_ns: int) -> Answer:
    return Answer(
        query_id=int(message.query_id),
        stamp_ns=nanoseconds(message.header.stamp),
        detected=bool(message.detected),
        threshold=round(float(message.threshold), 6),
        candidates=tuple(
            FoundPlace(
                place_id=int(candidate.place_id),
                place=str(candidate.place),
                stamp_ns=nanoseconds(candidate.stamp),
                distance=float(candidate.distance),
                score=float(candidate.score),
                verified=bool(candidate.verified),
            )
            for candidate in message.candidates
        ),
        arrived_s=recorded_ns / SECOND_NS,
    )


def _typestore() -> Any:
    """The types of Humble and this project's messages, from their definitions."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    folder = _definitions()
    for name in ("LoopClosureCandidate", "LoopClosure"):
        text = (folder / f"{name}.msg").read_text("utf-8")
        store.register(get_types_from_msg(text, f"{_PACKAGE}/msg/{name}"))
    return store


def _definitions() -> Path:
    """The folder with the .msg files: as installed, or of the source tree."""
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    candidates = [prefix / "share" / _PACKAGE / "msg" for prefix in prefixes]
    candidates.append(Path(__file__).resolve().parents[2] / _PACKAGE / "msg")
    for folder in candidates:
        if (folder / "LoopClosure.msg").is_file():
            return folder
    raise VprError(f"the message definitions of {_PACKAGE} are not installed: source setup.bash")
