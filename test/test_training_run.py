# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Training runs: data in both layouts, kill and go on, the command from end to end."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import evaluate
from floppynet_vpr.commands.train import build_parser, main
from floppynet_vpr.commands.train_options import chosen_recipe
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.describers import open_network
from floppynet_vpr.imaging.network_input import network_input
from floppynet_vpr.network.layers import NETWORKS
from floppynet_vpr.network.weights import load_weights
from floppynet_vpr.training.ablation import variants
from floppynet_vpr.training.images import PixelCache, open_images
from floppynet_vpr.training.recipe import PRESETS, Recipe, Views, trained_spec

SIDE = 67
RECIPE = Recipe(
    batch=4,
    alike=2,
    epochs=2,
    learning_rate=1e-2,
    views=Views(SIDE, (0.7, 1.0), (0.05, 0.02), 0.05, 0.02, advance=0.2, light=0.5, blur=0.3),
    classification=0.5,
    contrastive=1.0,
    regions=2,
    decay=0.9,
)


def pictures(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(count)
    small = rng.integers(0, 256, (count, 9, 9, 3), np.uint8)
    images = [cv2.resize(s, (72, 72), interpolation=cv2.INTER_CUBIC) for s in small]
    return images, np.arange(count) % 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Places365's layout: train/<letter>/<class>/<file>."""
    root = tmp_path_factory.mktemp("tree")
    for part, count in (("train", 12), ("val", 6)):
        for number, (image, label) in enumerate(zip(*pictures(count), strict=True)):
            folder = root / part / "abc"[label] / f"class_{label}"
            folder.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
    return root


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The npz layout, two shards to train on."""
    root = tmp_path_factory.mktemp("shards")
    for name, count in (("train_0", 8), ("train_1", 4), ("val", 6)):
        images, labels = pictures(count)
        files = [cv2.imencode(".webp", image[..., ::-1])[1].ravel() for image in images]
        offsets = np.cumsum([0, *map(len, files)])
        np.savez(root / f"{name}.npz", webp=np.concatenate(files), offsets=offsets, labels=labels)
    (root / "classes.txt").write_text("a/one\nb/two\nc/three\n")
    return root


def test_a_tree_of_folders_gives_its_images_and_classes(tree: Path) -> None:
    images = open_images(tree, "train")
    assert images.classes == ("a/class_0", "b/class_1", "c/class_2")
    assert images.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    expected, _ = pictures(12)
    batch = PixelCache(images, 72, 10**6).batch(np.array([0, 4, 1]))
    np.testing.assert_array_equal(batch.transpose(0, 2, 3, 1), [expected[i] for i in (0, 1, 3)])


@pytest.mark.parametrize("limit", [0, 40_000, 10**9])
def test_shards_give_the_same_images_however_many_are_kept(shards: Path, limit: int) -> None:
    images = open_images(shards, "train")
    assert images.classes == ("a/one", "b/two", "c/three")
    assert len(images.labels) == 12
    cache = PixelCache(images, 72, limit)
    first = cache.batch(np.arange(12))
    assert first.shape == (12, 3, 72, 72)
    np.testing.assert_array_equal(cache.batch(np.arange(12)), first)


def test_the_real_shards_are_read(data_dir: Path) -> None:
    images = open_images(data_dir / "miniplaces", "val")
    assert len(images.classes) == 100 and len(images.labels) == 4000
    assert PixelCache(images, 128, 0).batch(np.array([0, 3999])).std() > 10


def test_a_folder_without_data_and_a_broken_shard_are_named(tmp_path: Path) -> None:
    with pytest.raises(VprError, match="neither a folder 'train'"):
        open_images(tmp_path, "train")
    (tmp_path / "train_0.npz").write_bytes(b"PK nothing")
    with pytest.raises(VprError, match=r"train_0\.npz"):
        open_images(tmp_path, "train")


def test_the_paper_preset_is_the_published_recipe() -> None:
    recipe = chosen_recipe(build_parser().parse_args(["data", "-o", "run"]))
    assert recipe == PRESETS["paper"]
    assert (recipe.batch, recipe.epochs, recipe.learning_rate) == (24, 150, 5e-4)
    assert (recipe.final_rate, recipe.contrastive, recipe.views) == (1.0, 0.0, Views(227))


def test_rate_shift_and_classification_fall_along_the_run(tree: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    from floppynet_vpr.training.trainer import RunPlan, Trainer
    from floppynet_vpr.training.validation import Validation
    from floppynet_vpr.training.views import make_views

    recipe = replace(RECIPE, final_rate=0.1, final_shift=0.5, final_classification=0.0)
    images = open_images(tree, "train")
    plan = RunPlan(trained_spec("floppynet"), recipe, tmp_path, image_side=72)
    trainer = Trainer(plan, images, Validation(open_images(tree, "val"), ()))
    pixels = torch.from_numpy(PixelCache(images, 72, 0).batch(np.arange(4))).float()
    for step, rate, share in ((0, 1e-2, 1.0), (trainer.total_steps, 1e-3, 0.5)):
        trainer.step = step
        across, down = recipe.views.shift
        expected = replace(recipe.views, shift=(across * share, down * share))
        chance = torch.Generator().manual_seed(1_000_003)
        views = make_views(pixels, expected, 2, chance, 2)
        assert torch.equal(torch.cat(trainer.views(0, np.arange(4), 2)), torch.cat(views))
        trainer.train_step()
        assert trainer.optimiser.param_groups[0]["lr"] == pytest.approx(rate)
    # In the last step nothing but the contrastive term has moved anything.
    assert all(float(p.grad.abs().max()) == 0 for p in trainer.network.classifier.parameters())


def test_without_torch_the_command_says_what_to_install(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert main([str(tree), "-o", str(tmp_path / "run")]) == 1
    assert "floppynet_vpr[train]" in capsys.readouterr().err


def test_images_of_a_class_come_together_and_each_once_in_an_epoch(
    tree: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    from floppynet_vpr.training.trainer import RunPlan, Trainer
    from floppynet_vpr.training.validation import Validation

    images = open_images(tree, "train")
    plan = RunPlan(trained_spec("floppynet"), RECIPE, tmp_path, image_side=72)
    trainer = Trainer(plan, images, Validation(open_images(tree, "val"), ()))
    orders = []
    for epoch in range(2):
        steps = range(epoch * trainer.epoch_steps, (epoch + 1) * trainer.epoch_steps)
        order = np.concatenate([trainer.indices(step) for step in steps])
        np.testing.assert_array_equal(np.sort(order), np.arange(12))
        first, second = images.labels[order].reshape(-1, 2).T
        np.testing.assert_array_equal(first, second)
        orders.append(order.tolist())
    assert orders[0] != orders[1]


def test_a_recipe_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(VprError, match="advance"):
        Recipe(contrastive=1.0, regions=2)
    with pytest.raises(VprError, match="batch of at least 2"):
        Recipe(contrastive=1.0, batch=1)


def test_a_killed_run_goes_on_as_if_it_had_not_been(tree: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    from floppynet_vpr.training.trainer import RunPlan, Trainer
    from floppynet_vpr.training.validation import Validation

    def trainer(output: Path, seed: int = 1) -> Trainer:
        plan = RunPlan(trained_spec("floppynet"), RECIPE, output, seed=seed, image_side=72)
        return Trainer(plan, open_images(tree, "train"), Validation(open_images(tree, "val"), ()))

    whole = trainer(tmp_path / "whole")
    losses = [whole.train_step() for _ in range(4)]
    first = trainer(tmp_path / "killed")
    assert [first.train_step() for _ in range(2)] == losses[:2]
    first.save()
    first.train_step()  # lost with the kill
    second = trainer(tmp_path / "killed")
    assert second.step == 2
    assert [second.train_step() for _ in range(2)] == losses[2:]
    for a, b in zip(whole.average.parameters(), second.average.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(VprError, match="another network, recipe, teacher, sequences or seed"):
        trainer(tmp_path / "killed", seed=2)
    (tmp_path / "killed" / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(VprError, match=r"cannot read the checkpoint .*checkpoint\.pt"):
        trainer(tmp_path / "killed")


def test_the_command_trains_validates_and_exports(
    tree: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    lap = tree / "val" / "a" / "class_0"
    run = tmp_path / "run"
    words = [str(shards), "-o", str(run), "--preset", "vpr", "--image-side", "72", "--batch", "4"]
    words += ["--epochs", "0.7", "--threads", "1", "--traverses", f"{lap},{lap},0"]
    words += ["--no-synthetic-route"]
    start = tmp_path / "start.fnet"
    load_weights().save(start)
    assert main([*words, "--from", str(start)]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "best mean 100.0" in printed
    assert re.search(r"min, step 2: accuracy \d.*, S_P100 a/class_0 -> class_0 100\.0", printed)
    lines = (run / "log.csv").read_text().splitlines()
    assert lines[0].startswith("step,seconds,learning_rate,accuracy,S_P100 a/class_0 -> class_0")
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "2"]
    for name in ("best", "final"):
        assert load_weights(run / f"{name}.fnet").spec.name == "floppynet"
        assert (run / f"{name}.onnx").stat().st_size > 100_000
    assert main(words) == 0  # done already: nothing is trained anew
    assert "2 of them done" in capsys.readouterr().out


def test_thresholds_alone_are_fitted_without_training(shards: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    words = [str(shards), "-o", str(tmp_path / "run"), "--preset", "thresholds", "--batch", "8"]
    words += ["--no-synthetic-route"]
    start = tmp_path / "start.fnet"
    load_weights().save(start)
    assert main([*words, "--image-side", "72", "--from", str(start)]) == 0
    before, after = load_weights(start), load_weights(tmp_path / "run" / "best.fnet")
    for name, conv in before.convs.items():
        np.testing.assert_array_equal(after.convs[name].filters, conv.filters)
    assert not np.array_equal(after.convs["conv5"].shift, before.convs["conv5"].shift)


@pytest.mark.parametrize("network", ["floppynet-4", "baseline"])
def test_networks_of_other_bits_are_exported_and_evaluated(
    network: str, tree: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    run = tmp_path / "run"
    words = [str(shards), "-o", str(run), "--network", network, "--head-width", "8"]
    words += ["--preset", "vpr", "--image-side", "72", "--batch", "4", "--epochs", "0.7"]
    assert main([*words, "--no-synthetic-route", "--threads", "1"]) == 0, capsys.readouterr().err
    ending = "onnx" if network == "baseline" else "fnet"
    printed = capsys.readouterr().out
    for name in ("best", "final"):
        assert f"wrote {run / name}.{ending}" in printed
    lap = str(tree / "val" / "a" / "class_0")
    words = ["--query", lap, "--reference", lap, "--tolerance", "0", "-o", str(tmp_path / "found")]
    assert evaluate.main([*words, "--network", str(run / f"final.{ending}")]) == 0
    assert "100.0" in capsys.readouterr().out
    if network == "floppynet-4":
        assert load_weights(run / "final.fnet").bits == 4
        return
    from floppynet_vpr.training.model import Network
    from floppynet_vpr.training.validation import describe

    onnx = open_network(str(run / "final.onnx"), ("pool5",))
    state = torch.load(run / "checkpoint.pt", weights_only=True)["average"]
    trained = Network(trained_spec(network, head_width=8), 3, 115)
    trained.load_state_dict(state)
    image = pictures(1)[0][0]
    expected = describe(trained.features, network_input(image)[None])[0]
    found = onnx.describe(image)["pool5"]
    np.testing.assert_allclose(found / np.linalg.norm(found), expected, atol=1e-5)


def test_a_network_learns_from_that_of_an_earlier_run(
    tree: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    from floppynet_vpr.training.checkpoint import load_features
    from floppynet_vpr.training.trainer import RunPlan, Trainer
    from floppynet_vpr.training.validation import Validation

    words = [str(shards), "--preset", "vpr", "--image-side", "72", "--batch", "4", "--epochs"]
    words += ["0.3", "--threads", "1", "--no-synthetic-route", "-o"]
    larger = ["--network", "baseline", "--shallow", "--head-width", "8"]
    teacher, taught = tmp_path / "teacher", tmp_path / "taught"
    assert main([*words, str(teacher), *larger]) == 0, capsys.readouterr().err
    assert main([*words, str(taught), "--teacher", str(teacher)]) == 0, capsys.readouterr().err
    assert main([*words, str(taught)]) == 1
    assert "another network, recipe, teacher, sequences or seed" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "new"), "--teacher", str(tree)]) == 1
    assert "cannot read the checkpoint" in capsys.readouterr().err

    plan = RunPlan(trained_spec("floppynet"), RECIPE, tmp_path / "by_hand", image_side=72)
    validation = Validation(open_images(tree, "val"), ())
    trainer = Trainer(plan, open_images(tree, "train"), validation, None, load_features(teacher))
    assert trainer.teacher is not None
    before = [values.clone() for values in trainer.teacher.parameters()]
    assert trainer.train_step()["distillation"] > 0
    for old, new in zip(before, trainer.teacher.parameters(), strict=True):
        assert torch.equal(old, new) and new.grad is None


def test_the_synthetic_route_decides_without_any_data(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    words = [str(shards), "-o", str(tmp_path), "--image-side", "72", "--batch", "8"]
    words += ["--epochs", "0", "--threads", "1", "--preset", "vpr"]
    assert main(words) == 0, capsys.readouterr().err
    assert "(S_P100 synthetic, tolerant S_P100 synthetic)" in capsys.readouterr().out
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    found = ["S_P100 synthetic", "tolerant S_P100 synthetic", "R@100P along synthetic"]
    assert columns[3:] == ["accuracy", *found]


def test_accuracy_decides_in_the_published_recipe_unless_places_are_named(tree: Path) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    from floppynet_vpr.training.validation import Validation, open_pair

    folder = tree / "val" / "a" / "class_0"
    images, pairs = open_images(tree, "val"), (open_pair(f"{folder},{folder},1"),)
    assert Validation(images, pairs).judges == ["accuracy"]
    assert Validation(images, (), by_places=True).judges == ["accuracy"]
    named = Validation(images, pairs, by_places=True)
    assert named.judges == ["S_P100 a/class_0 -> class_0", "tolerant S_P100 a/class_0 -> class_0"]
    assert named.counts == {"accuracy": 6} | dict.fromkeys(
        (*named.judges, "R@100P along a/class_0 -> class_0"), 2
    )


def test_figure_8_has_eight_variants_between_the_networks_of_table_2() -> None:
    found = {variant.name: variant.spec for variant in variants()}
    assert len(found) == 8 and len(set(found.values())) == 8
    for name, network in (
        ("baseline", "baseline"),
        ("bin", "binarynet"),
        ("bin+depth", "shallownet"),
        ("bin+depth+fc256", "floppynet"),
    ):
        assert found[name] == NETWORKS[network]
    assert found["bin+fc256"].head_units == (256, 256) and found["bin+fc256"].head_bits == 32


def test_the_ablation_trains_every_variant_and_goes_on_where_it_was_stopped(
    tree: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    lap = tree / "val" / "a" / "class_0"
    words = [str(shards), "-o", str(tmp_path), "--ablation", "--preset", "vpr", "--image-side"]
    words += ["72", "--batch", "8", "--epochs", "1", "--threads", "1", "--no-synthetic-route"]
    words += ["--traverses", f"{lap},{lap},0"]
    assert main([*words, "--binarise"]) == 1
    assert "leave out --network" in capsys.readouterr().err
    assert main(words) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "100.0 (34-100)" in printed  # Wilson's interval of two right among two
    lines = (tmp_path / "ablation.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [v.name for v in variants()]
    assert lines[0].split(",")[6:9] == ["accuracy", "accuracy low", "accuracy high"]
    shutil.rmtree(tmp_path / "fc256")
    (tmp_path / "ablation.csv").unlink()
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count("1 of them done") == 7 and printed.count(" 0 of them done") == 1
    assert len((tmp_path / "ablation.csv").read_text().splitlines()) == 9


def test_a_pair_of_traverses_that_cannot_be_read_is_explained(tree: Path) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch: make test-training")
    from floppynet_vpr.training.validation import open_pair

    folder = tree / "val" / "a" / "class_0"
    assert len(open_pair(f"{folder},{folder},1,2,2").queries) == 1
    assert open_pair(f"{folder},{folder},0").truth.tolist() == [[True, False], [False, True]]
    assert len(open_pair(f"{folder},{folder},1").queries) == 2
    for text in ("only", f"{folder},{folder}", f"{folder},{folder},x"):
        with pytest.raises(VprError, match="QUERY,REFERENCE,TOLERANCE"):
            open_pair(text)
