# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a node said, read from a recording of /vpr/loop_closure: what was measured is what ran.

Record it with `ros2 bag record /vpr/loop_closure /diagnostics`; of the diagnostics the last is
kept. Queries are recognised by the stamp of their image, places by the stamp they were seen at: the
traverses must be the bags that the node and `build_map` got, for a folder of images has no stamps
of its own. Nothing here needs ROS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from floppynet_vpr.datasets.bag_files import open_bag
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.answers import SCORE, Answer, Answers, Match, from_detector
from floppynet_vpr.stamps import SECOND_NS, nanoseconds

LOOP_CLOSURE: Final = "floppynet_vpr_msgs/msg/LoopClosure"
DIAGNOSTICS: Final = "diagnostic_msgs/msg/DiagnosticArray"
_PACKAGE: Final = "floppynet_vpr_msgs"


@dataclass(frozen=True)
class RecordedAnswer:
    """A LoopClosure message: the stamps of the image and of its candidates, and what was said.

    `arrived_ns` is when it was recorded.
    """

    stamp_ns: int
    place_stamps_ns: tuple[int, ...]
    answer: Answer
    arrived_ns: int

    def of(self, reference_at: Mapping[int, int]) -> Answer:
        """The answer with the number of the reference for each candidate, found by its stamp."""
        matches = tuple(
            Match(reference_at.get(stamp, -1), match.distance, match.score)
            for stamp, match in zip(self.place_stamps_ns, self.answer.matches, strict=True)
        )
        return Answer(matches, self.answer.sureness, self.answer.detected, self.answer.threshold)


@dataclass(frozen=True)
class Recording:
    """The answers of a node in the order of recording, and its last account of itself."""

    answers: Sequence[RecordedAnswer]
    diagnostics: Mapping[str, str] = field(default_factory=dict)

    @property
    def rate_hz(self) -> float | None:
        """Answers per second, first to last."""
        arrived = sorted(answer.arrived_ns for answer in self.answers)
        if len(arrived) < 2 or arrived[-1] == arrived[0]:
            return None
        return (len(arrived) - 1) * SECOND_NS / (arrived[-1] - arrived[0])

    @property
    def latency_ms(self) -> tuple[float, float] | None:
        """Median and 99th percentile from image to answer inside the node, if it told."""
        try:
            return (
                float(self.diagnostics["total median (ms)"]),
                float(self.diagnostics["total p99 (ms)"]),
            )
        except (KeyError, ValueError):
            return None


def read_recording(bag: Path, topic: str | None = None) -> Recording:
    """Read the LoopClosure messages of a bag, and the node's diagnostics if they are there, too.

    Raises VprError for no bag, none of the messages in it, or several topics of them.
    """
    with open_bag(bag) as recording:
        found = sorted({c.topic for c in recording.connections if c.msgtype == LOOP_CLOSURE})
        if topic is None and len(found) == 1:
            topic = found[0]
        if topic not in found:
            raise VprError(
                f"the bag {bag} has {'several topics' if found else 'no topic'} of {LOOP_CLOSURE}"
                + (f", name one with --topic: {', '.join(found)}" if found else "")
            )
        answers: list[RecordedAnswer] = []
        diagnostics: dict[str, str] = {}
        wanted = [c for c in recording.connections if c.topic == topic or c.msgtype == DIAGNOSTICS]
        for connection, recorded_ns, data in recording.messages(wanted):
            if connection.msgtype == DIAGNOSTICS:
                diagnostics = read_diagnostics(data) or diagnostics
            else:
                answers.append(read_answer(data, recorded_ns))
    return Recording(answers, diagnostics)


def read_answer(message: bytes, arrived_ns: int) -> RecordedAnswer:
    """A serialised LoopClosure message as plain facts."""
    told = types().deserialize_cdr(message, LOOP_CLOSURE)
    candidates = told.candidates
    # The score rises with whatever the node ranked by. What geometry refused is never accepted.
    refused = not candidates or (candidates[0].inliers >= 0 and not candidates[0].verified)
    answer = Answer(
        tuple(Match(-1, float(known.distance), float(known.score)) for known in candidates),
        -float("inf") if refused else float(candidates[0].score),
        bool(told.detected),
        round(float(told.threshold), 6),  # a float32: 0.8 comes as 0.800000012
    )
    stamps = tuple(nanoseconds(known.stamp) for known in candidates)
    return RecordedAnswer(nanoseconds(told.header.stamp), stamps, answer, arrived_ns)


def read_diagnostics(message: bytes) -> dict[str, str]:
    """What the node says of itself in a serialised DiagnosticArray; empty: another's message."""
    for status in types().deserialize_cdr(message, DIAGNOSTICS).status:
        if status.name.endswith("place recognition"):
            return {pair.key: pair.value for pair in status.values}
    return {}


def in_order(
    recorded: Sequence[RecordedAnswer],
    query_stamps: Sequence[int],
    reference_stamps: Sequence[int],
    paths: tuple[Path, Path],
) -> Answers:
    """Bring answers into the order of the queries; the first to each counts.

    Stamps are nanoseconds, of the images that were played and of those that the map was made of.
    Raises VprError, naming `paths` of query and reference, where no answer belongs to them.
    """
    reference_at = {stamp: index for index, stamp in enumerate(reference_stamps)}
    by_stamp: dict[int, Answer] = {}
    for answer in recorded:
        by_stamp.setdefault(answer.stamp_ns, answer.of(reference_at))
    answers = [by_stamp.get(stamp) for stamp in query_stamps]
    if not any(answers):
        raise VprError(
            f"none of the {len(recorded)} answers has the stamp of an image of {paths[0]}: is it "
            "the bag that was played?"
        )
    if not any(m.reference >= 0 for answer in answers if answer for m in answer.matches):
        raise VprError(
            f"no place in the answers has the stamp of an image of {paths[1]}: is it the bag "
            "that the map was made of?"
        )
    return from_detector(answers, SCORE)


@cache
def types() -> Any:
    """The types of Humble and this project's messages, from their definitions (rosbags)."""
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
