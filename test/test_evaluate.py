# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`evaluate` from the command line to its files, on small drives, recordings and the real data."""

import csv
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import evaluate
from floppynet_vpr.commands.common import parse
from floppynet_vpr.commands.evaluate_options import detector_setup
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.datasets.traverse import open_traverse
from floppynet_vpr.detection import DetectorOptions, VerificationOptions
from floppynet_vpr.evaluation.describers import FamilyNetwork
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache
from floppynet_vpr.evaluation.detector_answers import DetectorSetup
from floppynet_vpr.evaluation.recording import LOOP_CLOSURE, read_recording, types
from floppynet_vpr.mapping.keyframes import KeyframeLimits
from floppynet_vpr.network.weights import load_weights
from floppynet_vpr.parameters import SETTINGS

PLACES = 12
FEATURES = ("--verification", "features")
RIGID = ("--matching", "rigid", "--sequence", "none")


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Two drives along twelve places, the second darker, noisier and two places short."""
    for name, dark, places in (("first", 1.0, PLACES), ("second", 0.6, PLACES - 2)):
        (tmp_path / name).mkdir()
        for place in range(places):
            pattern = np.random.default_rng(place).integers(0, 256, (6, 8, 3)).astype(np.uint8)
            image = cv2.resize(pattern, (160, 120), interpolation=cv2.INTER_CUBIC) * dark
            noise = np.random.default_rng([place, places]).normal(0, 4, image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(tmp_path / name / f"image_{place:02}.png"), image)
    return tmp_path


def run_evaluate(drives: Path, *more: str, output: str = "out") -> tuple[int, Path]:
    out = drives / output
    arguments = ["--query", str(drives / "second"), "--reference", str(drives / "first")]
    return evaluate.main([*arguments, "-o", str(out), *more]), out


def read_json(out: Path) -> list[dict[str, Any]]:
    return list(json.loads((out / "results.json").read_text()))


def no_progress(frames: Iterable[Frame], total: int, label: str) -> Iterable[Frame]:
    return frames


def test_own_drives_are_measured_and_written_down(
    drives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run_evaluate(drives, "--tolerance", "0", "--layer", "pool5,conv5")
    assert status == 0
    pool5, conv5 = read_json(out)
    assert (pool5["layer"], conv5["layer"]) == ("pool5", "conv5")
    assert pool5["s_p100"] == 100 and pool5["auc_pr"] == 1 and pool5["longest_stretch"] == 0
    assert pool5["truth"] == "frame numbers at most 0 apart"
    assert (pool5["dimension"], conv5["dimension"]) == (6 * 6 * 256, 13 * 13 * 256)
    assert pool5["size_kib"] == conv5["size_kib"] == pytest.approx(154.0, abs=0.05)
    assert pool5["eta_m"] == pytest.approx(1.54, abs=0.005)
    assert pool5["by_query"][3]["match"] == "image_03.png" and pool5["by_query"][3]["right"]
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["pool5", "conv5"]
    assert float(rows[0]["s_p100"]) == 100
    printed = capsys.readouterr().out
    assert "10 queries, 12 references; the same place: frame numbers at most 0 apart" in printed


def test_queries_without_a_right_reference_follow_the_convention(drives: Path) -> None:
    # The last two queries show places 8 and 9; the truth knows none for them.
    truth = drives / "truth.csv"
    truth.write_text("query,ref\n" + "".join(f"{i},{i}\n" for i in range(8)))
    _, out = run_evaluate(drives, "--truth", str(truth))
    assert read_json(out)[0]["s_p100"] == 80 and read_json(out)[0]["unanswerable"] == 2
    _, out = run_evaluate(drives, "--truth", str(truth), "--unanswerable", "leave-out")
    assert read_json(out)[0]["s_p100"] == 100 and read_json(out)[0]["queries"] == 8
    assert "are left out" in (out / "report.html").read_text()


def test_a_second_run_extracts_nothing(drives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = run_evaluate(drives, "--tolerance", "0")
    first = read_json(out)
    monkeypatch.setattr(FamilyNetwork, "describe", None)
    status, _ = run_evaluate(drives, "--tolerance", "0")
    assert status == 0
    for result in (*first, *read_json(out)):
        result.pop("search_ms")
    assert read_json(out)[0]["by_query"] == first[0]["by_query"]


@pytest.mark.parametrize("compared", [(), FEATURES], ids=["default", "features"])
def test_a_frame_that_cannot_be_read_is_left_out_and_told(
    drives: Path, compared: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left keeps its truth: the third query is of the fourth place as it was before."""
    (drives / "first" / "image_01.png").write_bytes(b"damaged")
    (drives / "second" / "image_02.png").write_bytes(b"")
    words = ["--tolerance", "0", *RIGID, *compared, "--frames", "::1"]
    for _ in range(2):  # the second time, nothing is read anew
        status, out = run_evaluate(drives, *words)
        assert status == 0
        (result,) = read_json(out)
        assert (result["queries"], result["references"]) == (PLACES - 3, PLACES - 1)
        assert result["s_p100"] == pytest.approx(100 * (PLACES - 4) / (PLACES - 3))
        assert "1 queries and 1 references of" in capsys.readouterr().err
    assert run_evaluate(drives, *words, "--strict")[0] == 1
    assert "image_01.png" in capsys.readouterr().err


def test_a_video_has_as_many_frames_as_it_gives(data_dir: Path, tmp_path: Path) -> None:
    """Its container counts 226 frames; there are 30."""
    video = data_dir / "field" / "uneven_times.mkv"
    assert len(open_traverse(video)) == 30
    words = ["--loop", str(video), "--truth", "none", "-o", str(tmp_path / "out")]
    assert evaluate.main(words) == 0
    (result,) = read_json(tmp_path / "out")
    assert result["references"] == 30


def test_an_interrupted_run_goes_on_where_it_was(
    drives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[bytes] = []
    describe = FamilyNetwork.describe

    def stopping(self: FamilyNetwork, rgb: Any) -> Any:
        described.append(rgb.tobytes())
        if len(described) == PLACES + 4:
            raise KeyboardInterrupt
        return describe(self, rgb)

    monkeypatch.setattr(FamilyNetwork, "describe", stopping)
    status, out = run_evaluate(drives, "--tolerance", "0")
    assert status == 130
    assert not list((out / "descriptors").glob("*.part"))
    references, before = set(described[:PLACES]), len(described)
    status, _ = run_evaluate(drives, "--tolerance", "0")
    # The references (12) were kept, the queries (10) are described anew, some of them perhaps
    # twice: by threads that had begun when the first run was stopped.
    anew = set(described[before:])
    assert status == 0 and len(anew) == PLACES - 2 and not anew & references


def test_kept_descriptors_belong_to_images_and_network(drives: Path) -> None:
    cache = DescriptorCache(drives / "cache")
    network = FamilyNetwork("a", load_weights(), ["pool5"])
    drive = open_traverse(drives / "first")
    before = cache.describe(drive, network, no_progress)["pool5"].values.copy()
    assert np.array_equal(cache.describe(drive, network, no_progress)["pool5"].values, before)
    picture = (drives / "first" / "image_07.png").read_bytes()
    (drives / "first" / "image_03.png").write_bytes(picture)
    after = cache.describe(open_traverse(drives / "first"), network, no_progress)["pool5"].values
    assert np.array_equal(after[3], before[7]) and not np.array_equal(after[3], before[3])
    # A file cut short is computed again.
    after = after.copy()
    for file in (drives / "cache").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:500])
    again = cache.describe(open_traverse(drives / "first"), network, no_progress)["pool5"].values
    assert np.array_equal(again, after)


def test_a_storage_is_measured_as_a_map_searches(drives: Path) -> None:
    from floppynet_vpr.extraction import create_extractor, describe_frames
    from floppynet_vpr.mapping import build_map

    _, out = run_evaluate(drives, "--tolerance", "0", "--storage", "binary", *RIGID)
    (result,) = read_json(out)
    extractor = create_extractor()
    known = build_map(
        describe_frames(open_source(drives / "first").pending(), [extractor]),
        extractor.weights,
        storage="binary",
    )
    asked = np.stack([extractor.describe(f.rgb) for f in open_source(drives / "second")])
    expected = known.search(asked, 1).distances[:, 0]
    assert [q["distance"] for q in result["by_query"]] == pytest.approx(expected, abs=2e-6)
    assert result["storage"] == "binary" and result["bytes_per_place"] == known.bytes_per_place


def test_recorded_answers_are_judged_like_the_search_they_came_from(drives: Path) -> None:
    bags = write_bags(drives)
    arguments = ["--query", str(bags["second"]), "--reference", str(bags["first"])]
    arguments += ["--tolerance", "0"]
    assert evaluate.main([*arguments, "-o", str(drives / "direct")]) == 0
    (direct,) = read_json(drives / "direct")
    record_answers(bags, direct, drives / "answers")
    assert len(read_recording(drives / "answers").answers) == PLACES - 2
    more = ["--answers", str(drives / "answers"), "-o", str(drives / "judged")]
    assert evaluate.main([*arguments, *more]) == 0
    (judged,) = read_json(drives / "judged")
    assert judged["s_p100"] == direct["s_p100"] == 100
    for told, expected in zip(judged["by_query"], direct["by_query"], strict=True):
        assert {**told, "detected": expected["detected"]} == expected
    assert judged["missing"] == [] and judged["facts"]["Rate"].endswith("answers per second")


def test_what_the_node_detected_is_judged_not_what_it_might_have(drives: Path) -> None:
    """The same candidates, but other flags: precision and recall follow the flags."""
    bags = write_bags(drives)
    arguments = ["--query", str(bags["second"]), "--reference", str(bags["first"])]
    arguments += ["--tolerance", "0"]
    assert evaluate.main([*arguments, "-o", str(drives / "direct")]) == 0
    (direct,) = read_json(drives / "direct")
    seen = []
    for name, flags in (("none", [False]), ("some", [True, False]), ("all", [True])):
        record_answers(bags, direct, drives / name, flags)
        more = ["--answers", str(drives / name), "-o", str(drives / f"{name}_judged")]
        assert evaluate.main([*arguments, *more]) == 0
        seen.append(read_json(drives / f"{name}_judged")[0]["detection"])
    assert [found["detected"] for found in seen] == [0, 5, 10]
    assert [found["recall"] for found in seen] == [0, 0.5, 1]
    assert [found["precision"] for found in seen] == [None, 1, 1]
    assert all(found["recall_at_100_precision"] == 1 for found in seen)


def test_of_several_nodes_in_a_recording_one_is_named(
    drives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rosbags.rosbag2 import Writer

    bags = write_bags(drives)
    with Writer(drives / "two", version=8) as writer:
        for name in ("/a/loop_closure", "/b/loop_closure"):
            writer.add_connection(name, LOOP_CLOSURE, typestore=types())
    arguments = ["--query", str(bags["second"]), "--reference", str(bags["first"])]
    arguments += ["--tolerance", "0", "--answers", str(drives / "two"), "-o", str(drives / "out")]
    assert evaluate.main(arguments) == 1
    assert "several topics" in (said := capsys.readouterr().err)
    assert "--topic: /a/loop_closure, /b/loop_closure" in said
    assert evaluate.main([*arguments, "--topic", "/b/loop_closure"]) == 1
    assert "none of the 0 answers" in capsys.readouterr().err


def write_bags(drives: Path) -> dict[str, Path]:
    bags = {}
    for name, start in (("first", 10_000_000_000), ("second", 90_000_000_000)):
        bags[name] = drives / f"{name}_bag"
        write_bag(open_source(drives / name), bags[name], start_ns=start)
    return bags


def record_answers(
    bags: dict[str, Path], result: dict[str, Any], out: Path, flags: Sequence[bool] = (True,)
) -> None:
    """Write LoopClosure messages that answer as a result of `evaluate` says, with other flags."""
    from rosbags.rosbag2 import Writer

    store = types()
    kinds = store.types
    stamps = {name: [frame.stamp_ns for frame in open_source(bag)] for name, bag in bags.items()}

    def time_of(stamp_ns: int) -> Any:
        return kinds["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))

    point = kinds["geometry_msgs/msg/Point"](0.0, 0.0, 0.0)
    turn = kinds["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    vector = kinds["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    pose = kinds["geometry_msgs/msg/Pose"](point, turn)
    with Writer(out, version=8) as writer:
        connection = writer.add_connection("/vpr/loop_closure", LOOP_CLOSURE, typestore=store)
        for row, query in enumerate(result["by_query"]):
            stamp = stamps["second"][row]
            place = stamps["first"][query["match_index"]]
            candidate = kinds["floppynet_vpr_msgs/msg/LoopClosureCandidate"](
                place_id=query["match_index"],
                place=query["match"],
                stamp=time_of(place),
                distance=query["distance"],
                score=query["score"],
                shift_right=0.0,
                shift_down=0.0,
                session="",
                verified=False,
                inliers=-1,
                frame="",
                pose=pose,
                has_pose=False,
                bearing_right=0.0,
                bearing_down=0.0,
                transform=kinds["geometry_msgs/msg/Transform"](vector, turn),
                transform_covariance=np.zeros(36),
                transform_inliers=0,
                has_transform=False,
            )
            header = kinds["std_msgs/msg/Header"](time_of(stamp), "camera")
            message = kinds[LOOP_CLOSURE](
                header=header,
                query_id=row,
                detected=flags[row % len(flags)],
                threshold=0.8,
                candidates=[candidate],
            )
            data = store.serialize_cdr(message, LOOP_CLOSURE)
            writer.write(connection, stamp, data)


LOOPS = 60


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A walk of 60 images: 40 places, of which the first 20 are passed once more, darker."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for number in range(LOOPS):
        pattern = np.random.default_rng(number % 40).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        image = cv2.resize(pattern, (160, 120), interpolation=cv2.INTER_CUBIC)
        image = image * (1.0 if number < 40 else 0.7)
        assert cv2.imwrite(str(folder / f"image_{number:02}.png"), image.astype(np.uint8))
    return folder


def run_loop(walk: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    out = walk.parent / "out"
    status = evaluate.main(["--loop", str(walk), "-o", str(out), *more])
    return status, read_json(out) if status == 0 else []


def write_loops(walk: Path, form: str) -> Path:
    """The loops of the walk as a file of one of the forms that are read."""
    pairs = [(number, number - 40) for number in range(40, LOOPS)]
    matrix = np.eye(LOOPS, dtype=np.uint8)
    for later, earlier in pairs:
        matrix[later, earlier] = 1
    file = walk.parent / f"loops{form}"
    if form == ".npy":
        np.save(file, matrix | matrix.T)
    elif form == ".mat":
        from scipy.io import savemat

        savemat(file, {"truth": matrix, "tolerance": 3.0})
    elif form == ".png":
        assert cv2.imwrite(str(file), 255 * matrix)
    else:
        lines = [f"{earlier},{later}" for later, earlier in pairs]
        file.write_text("\n".join([*(["frame,other"] if form == ".csv" else []), *lines]) + "\n")
    return file


@pytest.mark.parametrize("form", [".csv", ".txt", ".npy", ".mat", ".png"])
def test_a_traverse_that_meets_itself_is_answered_from_the_places_before(
    form: str, walk: Path
) -> None:
    truth = str(write_loops(walk, form))
    status, (result,) = run_loop(walk, "--truth", truth, "--exclude_seconds", "2.05")
    assert status == 0 and result["unanswerable"] == 40 and result["queries"] == 20
    found = result["detection"]
    assert (found["queries"], found["revisits"]) == (LOOPS, 20)
    assert result["s_p100"] == 100 and found["precision"] == 1
    # Who follows the camera believes in a place after an image or two.
    assert found["recall_at_100_precision"] >= 0.9
    # Nothing is looked for among places that are not known yet, or only just.
    for query in result["by_query"]:
        assert query["match_index"] is None or query["match_index"] < query["index"] - 20


def test_a_loop_is_what_the_node_answers_in_mode_both(walk: Path) -> None:
    from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
    from floppynet_vpr.detection.growth import Grower
    from floppynet_vpr.extraction import create_extractor
    from floppynet_vpr.mapping import ReferenceMap
    from floppynet_vpr.mapping.keyframes import KeyframeGate, KeyframeLimits

    options = ["--truth", str(write_loops(walk, ".csv")), "--storage", "binary"]
    options += ["--sequence", "filter", "--exclude-images", "5", "--exclude-seconds", "0"]
    _, (result,) = run_loop(walk, *options, "--keyframe-distance", "0.4")
    extractor = create_extractor()
    known = ReferenceMap.for_weights(extractor.weights, "binary")
    detector = LoopClosureDetector(
        known, DetectorOptions(sequence="filter", exclude_images=5, exclude_seconds=0)
    )
    gate, grower = KeyframeGate(KeyframeLimits(0.4)), Grower()
    for frame, told in zip(open_source(walk), result["by_query"], strict=True):
        descriptor = extractor.describe(frame.rgb)
        answer = detector.detect(descriptor, frame.stamp_ns)
        assert told["detected"] == answer.detected
        if answer.candidates:
            assert told["match"] == answer.candidates[0].place.name
            assert told["score"] == pytest.approx(answer.candidates[0].score, abs=1e-6)
        if gate.passes(descriptor, frame.stamp_ns):
            growth = grower.decide(detector, answer, descriptor)
            if growth.new:
                known.add(descriptor, frame.name, frame.stamp_ns, look_of=growth.look_of)


def test_a_walk_that_never_returns_counts_false_closures(
    walk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--exclude-images", "5", "--exclude-seconds", "0", "--threshold", "2", *RIGID]
    _, (result,) = run_loop(walk, "--truth", "none", "--frames", "0:40", *options)
    found = result["detection"]
    assert found["revisits"] == 0 and found["recall"] is None
    # From the seventh image on everything is within a distance of 2.
    assert found["detected"] == 34 and found["wrong_per_1000_unseen"] == pytest.approx(850)
    assert "S_P100" not in capsys.readouterr().out, "no image has a right match"


def test_the_detector_is_set_by_the_nodes_names(drives: Path) -> None:
    def detection(*more: str) -> dict[str, Any]:
        _, out = run_evaluate(drives, "--tolerance", "0", *more)
        return dict(read_json(out)[0]["detection"])

    everything = detection("--threshold", "2")
    assert (everything["detected"], everything["recall"], everything["revisits"]) == (10, 1, 10)
    assert everything["median_delay_images"] == 0
    assert detection("--threshold", "0.01")["detected"] == 0
    assert detection("--threshold", "2", "--confidence", "0.999")["detected"] == 0
    first = detection("--sequence", "filter")["precision_recall"]
    assert first["measure"] == "belief" and max(first["threshold"]) <= 1
    detection("--subtract_mean", "true", "--top-k", "7")
    page = (drives / "out" / "report.html").read_text()
    assert "top_k 7" in page and "subtract_mean True" in page


def setup_of(*words: str) -> DetectorSetup:
    parser = evaluate.build_parser()
    return detector_setup(parse(parser, ["--output", "out", *words]))


def test_the_detector_is_set_as_the_node_is_unless_told_otherwise() -> None:
    for name in (option.name for option in fields(DetectorOptions) if option.name != "top_k"):
        default = next(setting.default for setting in SETTINGS if setting.name == name)
        assert getattr(setup_of().options, name) == default
    assert (setup_of().options.top_k, setup_of(*FEATURES).options.top_k) == (25, 5)
    assert setup_of(*FEATURES, "--top-k", "3").options.top_k == 3
    assert (
        setup_of().verification is None and setup_of("--verification", "none").verification is None
    )
    assert setup_of(*FEATURES, "--verify_budget", "7").verification == VerificationOptions(
        budget_ms=7.0
    )
    assert setup_of("--keyframe-distance", "0.5").keyframes == KeyframeLimits(0.5, 0.0)


def test_the_papers_tables_compare_as_the_paper_does_unless_told_otherwise() -> None:
    paper = setup_of("--paper").options
    assert (paper.matching, paper.sequence) == ("rigid", "none")
    other = setup_of("--paper", "--matching", "tolerant", "--sequence", "line").options
    assert (other.matching, other.sequence) == ("tolerant", "line")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--top-k", "51"], "top_k is 51, but must be a whole number from 1 to 50"),
        (["--threshold", "far"], "threshold is 'far', but must be a number from 0 to 2"),
        (["--subtract-mean", "maybe"], "subtract_mean is 'maybe', but must be true or false"),
        (["--matching", "loose"], "matching is 'loose', but must be one of tolerant, rigid"),
    ],
)
def test_the_detector_takes_the_values_that_the_node_takes(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        setup_of(*words)
    assert said in " ".join(capsys.readouterr().err.split())


def test_geometry_removes_detections_of_places_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from floppynet_vpr.evaluation import detector_answers

    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for place in range(4):
            noise = np.random.default_rng(place).integers(0, 256, (60, 80, 3)).astype(np.uint8)
            image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_NEAREST)
            if (name, place) == ("second", 3):
                image[:] = 90  # nothing to hold on to
            assert cv2.imwrite(str(tmp_path / name / f"{place}.png"), image)
    options = ["--tolerance", "9", "--threshold", "2", *FEATURES, "--verify-budget", "10000"]
    _, out = run_evaluate(tmp_path, *options)
    (result,) = read_json(out)
    assert [query["detected"] for query in result["by_query"]] == [True, True, True, False]
    assert result["detection"]["recall_at_100_precision"] == 0.75
    _, out = run_evaluate(tmp_path, *options[:4])
    assert read_json(out)[0]["detection"]["detected"] == 4
    assert detector_answers.DEFAULT_FEATURES > 0


def test_metres_decide_where_positions_are_given(drives: Path) -> None:
    for name, count, start in (("second", PLACES - 2, 0.0), ("first", PLACES, 0.5)):
        lines = ["name,x,y", *(f"image_{i:02},{start + 3 * i},0" for i in range(count))]
        (drives / f"{name}.csv").write_text("\n".join(lines) + "\n")
    files = [str(drives / "second.csv"), str(drives / "first.csv")]
    _, out = run_evaluate(drives, "--positions", *files, "--tolerance", "1", "--threshold", "2")
    (result,) = read_json(out)
    assert result["s_p100"] == 100 and result["truth"] == "within 1 m by second.csv and first.csv"
    assert result["by_query"][2]["off"] == pytest.approx(0.5)
    # Nothing is within 0.1 m: nine steps of 3 m along places never seen, ten false closures.
    _, out = run_evaluate(drives, "--positions", *files, "--tolerance", "0.1", "--threshold", "2")
    found = read_json(out)[0]["detection"]
    assert found["wrong_per_km_unseen"] == pytest.approx(10 / 0.027)
    assert found["wrong_per_1000_unseen"] == 1000


def test_every_nth_frame_is_numbered_anew(drives: Path) -> None:
    _, out = run_evaluate(drives, "--tolerance", "0", "--frames", "1::3")
    (result,) = read_json(out)
    assert [query["index"] for query in result["by_query"]] == [1, 4, 7]
    assert (result["queries"], result["references"], result["s_p100"]) == (3, 4, 100)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a --dataset, your own traverses"),
        (["--query", "a"], "name both traverses"),
        (["--query", "a", "--reference", "b", "--tolerance", "1", "--mode", "both"],
         "--mode both is for --loop"),
        (["--loop", "a"], "which frames of the loop show the same place"),
        (["--loop", "a", "--query", "b"], "leave --query out"),
        (["--loop", "a", "--truth", "none", "--mode", "localization"], "never adds a place"),
        (["--loop", "{d}/first", "--truth", "none", "--layer", "conv5"], "only pool5"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--sequence",
          "filter", "--queries", "5"], "tear holes into the sequence"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--frames",
          "90:"], "none of them is chosen"),
        (["--query", "a", "--reference", "b"], "which frames show the same place"),
        (["--dataset", "nordland"], "--root DIR says where"),
        (["--dataset", "oxford", "--root", "."], "unknown dataset oxford"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--network",
          "resnet"], "unknown network resnet"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--layer",
          "conv3"], "FloppyNet has no layer conv3: it has conv1, pool1"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--network",
          "floppynet-8"], "no weights of floppynet-8: --weights names no folder"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--network",
          "shipped,shipped"], "two networks are called shipped"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--answers",
          "{d}/first"], "is no bag: it has neither metadata.yaml nor"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(
    arguments: list[str], said: str, drives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(d=drives) for word in arguments]
    assert evaluate.main([*filled, "-o", str(drives / "out")]) == 1
    assert said in capsys.readouterr().err


def test_the_report_stands_alone_and_is_small(drives: Path) -> None:
    from test_evaluation_report import Links

    _, out = run_evaluate(drives, "--tolerance", "0", "--layer", "all", "--network",
                          "one=" + str(shipped()), "--paper")  # fmt: skip
    text = (out / "report.html").read_text()
    links = Links()
    links.feed(text)
    assert links.open == [] and len(text.encode()) < 3_000_000
    assert all(link.startswith("data:image/") for link in links.links)
    assert text.count("<tr><td>") == 6 and "one conv2" in text
    for part in ("Precision over recall", "Matrix of distances", "surest matches", "search: exact"):
        assert part in text


def shipped() -> Path:
    from floppynet_vpr.network.weights import SHIPPED_WEIGHTS

    return SHIPPED_WEIGHTS


def test_a_sample_of_queries_is_drawn_by_the_seed(drives: Path) -> None:
    chosen = []
    for seed in ("1", "1", "2"):
        sample = ["--queries", "5", "--seed", seed, "--sequence", "none"]
        _, out = run_evaluate(drives, "--tolerance", "0", *sample)
        chosen.append([query["index"] for query in read_json(out)[0]["by_query"]])
    assert chosen[0] == chosen[1] != chosen[2] and len(chosen[0]) == 5


def test_gardens_point_gives_the_known_figures(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="needs the tflite package")
    arguments = ["--dataset", "gardens_point", "--root", str(data_dir), "--network", "floppynet"]
    arguments += ["--weights", str(data_dir / "weights"), "--paper", "-o", str(tmp_path)]
    assert evaluate.main(arguments) == 0
    results = read_json(tmp_path)
    assert [result["s_p100"] for result in results] == [79.5, 76.0]
    assert all(r["references"] == r["queries"] == 200 for r in results)
    assert results[0]["longest_stretch"] == 7


def test_the_table_of_detections_is_what_evaluate_says(data_dir: Path, tmp_path: Path) -> None:
    from test_readme import ROOT, table_rows

    arguments = ["--dataset", "gardens_point", "--root", str(data_dir), "--storage", "binary"]
    arguments += ["--queries", "0", "-o", str(tmp_path)]
    rows = table_rows(ROOT / "docs" / "recognition.md", "traverses")
    for column, mode in enumerate((RIGID, RIGID[:2], RIGID[2:], ())):
        assert evaluate.main([*arguments, *mode]) == 0
        for result in read_json(tmp_path):
            row = rows[f"GardensPoint, {result['query']} -> {result['reference']}, within 2 frames"]
            found = result["detection"]
            figures = result["s_p100"], 100 * found["precision"], 100 * found["recall"]
            told = [float(word) for word in row[column].split(" / ")]
            assert told == pytest.approx(figures, abs=0.6)


def test_every_layer_is_what_the_extractor_computes(drives: Path) -> None:
    from floppynet_vpr.extraction import create_extractor
    from floppynet_vpr.imaging.network_input import network_input

    weights = load_weights()
    network = FamilyNetwork("a", weights, ["conv1", "pool1", "conv5", "pool5"])
    rgb = next(iter(open_source(drives / "first"))).rgb
    maps = network.describe(rgb)
    image = network_input(rgb)
    assert np.array_equal(maps["pool5"], create_extractor(weights).pool5(image).ravel())
    conv1 = maps["conv1"].reshape(55, 55, 96)
    for row, column in ((0, 0), (54, 54), (20, 31)):
        patch = image[4 * row : 4 * row + 11, 4 * column : 4 * column + 11].astype(int)
        filters = weights.convs["conv1"].filters.astype(int)
        assert np.array_equal(conv1[row, column], np.einsum("ijc,oijc->o", patch, filters))
    for conv, pool, side in (("conv1", "pool1", 55), ("conv5", "pool5", 13)):
        values = maps[conv].reshape(side, side, -1)[: side // 2 * 2, : side // 2 * 2]
        blocks = values.reshape(side // 2, 2, side // 2, 2, -1).max(axis=(1, 3))
        assert np.array_equal(maps[pool], blocks.ravel())
    assert network.size_kib("conv1") == pytest.approx(34848 / 8 / 1024)
    assert network.size_kib("pool1") == network.size_kib("conv1")


def test_images_are_described_at_once(drives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe, together = FamilyNetwork.describe, threading.Barrier(2)

    def meeting(self: FamilyNetwork, rgb: Any) -> Any:
        together.wait(60)
        return describe(self, rgb)

    monkeypatch.setattr(FamilyNetwork, "describe", meeting)
    assert run_evaluate(drives, "--tolerance", "0", "--threads", "2")[0] == 0


def test_recorded_answers_are_ranked_by_what_the_node_ranked_by(drives: Path) -> None:
    """The wrong matches are the nearest and the least believed."""
    bags = write_bags(drives)
    words = ["--query", str(bags["second"]), "--reference", str(bags["first"]), "--tolerance", "0"]
    assert evaluate.main([*words, "-o", str(drives / "direct")]) == 0
    (direct,) = read_json(drives / "direct")
    for row, query in enumerate(direct["by_query"]):
        query["score"] = query["distance"] = row / 10
        query["match_index"] = row if row >= 5 else row + 1
    record_answers(bags, direct, drives / "answers")
    more = ["--answers", str(drives / "answers"), "-o", str(drives / "judged")]
    assert evaluate.main([*words, *more]) == 0
    assert read_json(drives / "judged")[0]["detection"]["recall_at_100_precision"] == 0.5


def test_drives_of_unequal_length_are_told_of_where_frames_are_compared(
    drives: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_evaluate(drives, "--tolerance", "0")[0] == 0
    assert "second has 10 frames and first 12" in caplog.text
    caplog.clear()
    assert run_evaluate(drives, "--truth", "none")[0] == 0
    assert not caplog.text


def test_the_topic_of_a_recording_is_not_that_of_the_images(
    drives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_evaluate(drives, "--topic", "/camera/image_raw")[0] == 1
    assert "say --image-topic" in capsys.readouterr().err
