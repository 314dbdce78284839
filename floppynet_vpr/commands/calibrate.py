# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`calibrate`: learns from a drive whose places are known how far matches can be trusted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.commands.common import (
    UnusableFrames,
    add_extractor_options,
    add_frame_options,
    at_least,
    command,
    make_parser,
    progress,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path
from floppynet_vpr.fleet.stored_map import StoredMap, stored_map

if TYPE_CHECKING:
    from floppynet_vpr.datasets.frames import FrameSource
    from floppynet_vpr.detection import DetectorOptions
    from floppynet_vpr.extraction.pipeline import DescribedFrame
    from floppynet_vpr.mapping import Calibration, ReferenceMap

_BINS = 5


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "calibrate",
        "Teach a map what its matches are worth. Every frame of SOURCE, a second drive along the "
        "way of the map, is matched as the node would, for single images and for sequences, with "
        "and without the mean subtracted, and compared with the truth. What is learned is stored "
        "in the map: the node then gives the share of right matches as score, and where its "
        "threshold and confidence are 0, it detects with the precision wanted here.",
        "  ros2 run floppynet_vpr calibrate office.fvm lap_2/\n"
        "  ros2 run floppynet_vpr calibrate office.fvm lap_2/ --precision 0.99 --tolerance 5\n"
        "  ros2 run floppynet_vpr calibrate street.fvm drive_2/ --truth same_places.csv\n"
        "  ros2 run floppynet_vpr calibrate street.fvm drive_2/ --gps drive_2.csv drive_1.csv \\\n"
        "      --tolerance 25",
    )
    parser.add_argument(
        "map", type=stored_map, metavar="MAP.fvm", help="the map, made by build_map"
    )
    parser.add_argument("source", type=user_path, metavar="SOURCE", help="folder, video or bag")
    parser.add_argument(
        "-o",
        "--output",
        type=stored_map,
        metavar="MAP.fvm",
        help="write the map here, not over MAP.fvm",
    )
    parser.add_argument(
        "--precision",
        type=at_least(0.01, float),
        default=0.95,
        metavar="P",
        help="wanted share, up to 1, of right ones among the loop closures detected",
    )
    truth = parser.add_argument_group(
        "truth", "Without --truth and --gps, the n-th frame shows the n-th place of the map."
    )
    truth.add_argument(
        "--tolerance",
        type=at_least(0, float),
        default=2.0,
        metavar="N",
        help="a match is right up to so many places, or with --gps metres, from the truth",
    )
    truth.add_argument(
        "--truth",
        type=user_path,
        metavar="FILE",
        help="which places each frame shows: a table of frame and place numbers that begins with "
        "the line 'query,ref', or a matrix of 0 and 1",
    )
    truth.add_argument(
        "--gps",
        type=user_path,
        nargs=2,
        metavar=("SOURCE.csv", "MAP.csv"),
        help="latitude and longitude of the frames and of the places",
    )
    add_frame_options(parser.add_argument_group("frames"))
    add_extractor_options(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.datasets.sources import open_source
    from floppynet_vpr.detection import DetectorOptions
    from floppynet_vpr.detection.options import RIGID_MATCHING, SEQUENCES, SINGLE

    if arguments.precision > 1:
        raise VprError(f"--precision {arguments.precision:g} is no share: at most 1")
    output: StoredMap = arguments.output or arguments.map
    with output.lock():  # what another process adds to the map meanwhile must not be lost
        reference = arguments.map.load()
        reference.calibrations.clear()
        source = open_source(arguments.source, topic=arguments.topic, every=arguments.every)
        truth_of = _truth(arguments, source, reference)  # before all the work: whether it fits
        frames, numbers = _describe(arguments, source, reference)
        truth = truth_of([frame.name for frame in frames], numbers)
        print(f"\n{len(frames)} queries, {truth.any(1).sum()} of them at places of the map")
        for sequence in (SINGLE, *SEQUENCES):
            for options in (
                DetectorOptions(sequence=sequence),
                DetectorOptions(matching=RIGID_MATCHING, sequence=sequence),
                DetectorOptions(matching=RIGID_MATCHING, sequence=sequence, subtract_mean=True),
            ):
                _learn(reference, options, frames, truth, arguments.precision)
        if not reference.calibrations:
            raise VprError(f"nothing was learned, {arguments.map} stays as it is")
        output.save(reference)
        print(f"\nwrote {output}")
    return 0


def _describe(
    arguments: argparse.Namespace, source: FrameSource, reference: ReferenceMap
) -> tuple[list[DescribedFrame], list[int]]:
    """Describe the frames that can be used; returns them and which of the source's they are."""
    from floppynet_vpr.datasets.frames import noted
    from floppynet_vpr.extraction import create_extractor, describe_frames, load_network

    weights = load_network(arguments.weights)
    reference.require_weights(weights, str(arguments.map))
    extractors = [create_extractor(weights, arguments.backend) for _ in range(arguments.threads)]
    print(f"{source.label}: {len(source)} frames; {extractors[0].description}")
    used: list[int] = []
    unusable = UnusableFrames()
    described = describe_frames(
        noted(source.pending(), used),
        extractors,
        skipped=None if arguments.strict else unusable,
    )
    frames = list(progress(described, len(source), leave=False))
    unusable.tell()
    return frames, sorted(used)


def _truth(
    arguments: argparse.Namespace, source: FrameSource, reference: ReferenceMap
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.bool_]]:
    """Which places frames of these names and numbers show, (frames, places) bool."""
    from floppynet_vpr.datasets.gps import read_positions, within_metres
    from floppynet_vpr.datasets.ground_truth import same_place_by_index
    from floppynet_vpr.datasets.sources import frames_in
    from floppynet_vpr.datasets.truth_files import read_truth

    if arguments.gps is not None:
        at, places_at = arguments.gps
        known = read_positions(places_at, [place.name for place in reference.places])
        return lambda names, _: within_metres(read_positions(at, names), known, arguments.tolerance)
    total = frames_in(source)
    if arguments.truth is not None:
        whole = range(0, total * arguments.every, arguments.every)
        places = range(len(reference))
        told = read_truth(arguments.truth, whole, places, int(arguments.tolerance))
        return lambda _, numbers: told[list(numbers)]
    if total != len(reference):
        raise VprError(
            f"{arguments.source} has {total} frames and {arguments.map} {len(reference)} "
            "places, so it is not known which shows which: give --truth or --gps"
        )
    same = same_place_by_index(total, len(reference), int(arguments.tolerance))
    return lambda _, numbers: same[list(numbers)]


def _learn(
    reference: ReferenceMap,
    options: DetectorOptions,
    frames: Sequence[DescribedFrame],
    truth: NDArray[np.bool_],
    precision: float,
) -> None:
    """Match all frames in one way, keep what is learned with the map, and say what it is."""
    from floppynet_vpr.detection import LoopClosureDetector
    from floppynet_vpr.detection.calibration_fit import calibrate

    detector = LoopClosureDetector(reference, options)
    found = [detector.detect(frame.descriptor, frame.stamp_ns) for frame in frames]
    measures = np.array([detection.measure for detection in found])
    best = [detection.candidates[0].index for detection in found]
    right = truth[np.arange(len(found)), best]
    options = detector.in_force
    print(f"\n{options.mode}: best match right for {right.sum()} of {len(right)}")
    try:
        learned = calibrate(options.mode, measures, right, precision, options.measure)
    except VprError as error:
        print(f"  not calibrated: {error}")
        return
    reference.calibrations[options.mode] = learned
    sign = f"{options.measure} {'<=' if options.measure == 'distance' else '>='}"
    there = int(truth.any(1).sum())
    print(
        f"  {sign} {learned.limit:.4f}: {learned.right} of {learned.accepted} detections right, "
        f"{100 * learned.right / max(there, 1):.1f} % of what is there found"
    )
    _print_reliability(learned, measures, right)


def _print_reliability(
    learned: Calibration, measures: NDArray[np.float64], right: NDArray[np.bool_]
) -> None:
    """Compare the scores given with the shares really right, for scores alike."""
    scores = np.array([learned.confidence(float(measure)) for measure in measures])
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    told = [
        f"{scores[bins == index].mean():.2f} -> {right[bins == index].mean():.2f} "
        f"({(bins == index).sum()})"
        for index in np.unique(bins).tolist()
    ]
    print(f"  mean score -> share right (queries): {', '.join(told)}")


if __name__ == "__main__":
    sys.exit(main())
