"""Users' files in four formats, shipped sets, made scenes; and every kind of bad input with its sentence."""

import io

import pytest
import torch
from PIL import ExifTags, Image, ImageDraw

from raybayes import data
from raybayes.errors import DataError
from trainables.oneshot.config import Config
from trainables.oneshot.data.loaders import load_data
from trainables.oneshot.data.records import Picture, to_tensor
from trainables.oneshot.data.synthesis import Layout, make_scene, read_material
from trainables.oneshot.detection.scales import eval_scale

LINES = [
    "gtbboxid,classid,imageid,lx,rx,ty,by,difficult,split",  # another order of columns than the writer's
    "0,cup,one,0.1,0.5,0.2,0.6,0,train",
    "1,pan,one,0.5,0.9,0.5,1.0,1,train",
    "2,cup,two,0.0,0.5,0.0,0.5,0,val-old-cl",
    "3,jar,two,0.25,0.75,0.5,1.0,0,val-new-cl",
]


def turned(path, orientation):
    """Give a file an EXIF orientation; its stored pixels stay as they are."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    with Image.open(path) as picture:
        picture.save(path, exif=exif)


@pytest.fixture
def shop(tmp_path):
    """Two scenes of 200 x 100 pixels, class images, and the table of boxes."""
    (tmp_path / "classes").mkdir()
    for name in ("one", "two"):
        Image.effect_noise((200, 100), 60).convert("RGB").save(tmp_path / f"{name}.jpg")
    for name, size in (("cup", (40, 40)), ("pan", (60, 20)), ("jar", (20, 60))):
        Image.effect_noise(size, 60).convert("RGB").save(tmp_path / "classes" / f"{name}.png")
    (tmp_path / "boxes.csv").write_text("\n".join(LINES))
    return tmp_path


def config(folder, format="csv", annotations="boxes.csv", images="", classes="classes", **values):
    files = {
        "format": format, "annotations": str(folder / annotations), "images": str(folder / images),
        "class_images": str(folder / classes) if classes else "", **values.pop("files", {}),
    }  # fmt: skip
    return Config(dataset=None, files=files, model={"weights": "random"}, **values)


def read(cfg):
    return load_data(cfg, data.load)


def rewrite(folder, *lines):
    (folder / "boxes.csv").write_text("\n".join([LINES[0], *lines]))


class TestReaders:
    def test_csv_with_splits(self, shop):
        found = read(config(shop))
        assert found.trained == ("cup", "pan")
        assert found.seen == ("cup",)
        assert found.unseen == ("jar",), "a class without a box in training is unseen"
        (train,) = found.train
        assert train.boxes.tolist() == [[20, 20, 100, 60], [100, 50, 180, 100]]
        assert train.difficult.tolist() == [False, True]
        (judged,) = found.evaluate
        assert judged.labels == ("cup", "jar")
        assert found.class_images["jar"][0].picture.size() == (20, 60)

    def test_named_unseen_classes_override(self, shop):
        found = read(config(shop, files={"unseen": ("cup",)}, steps=0))
        assert found.unseen == ("cup",)
        assert all("cup" not in scene.labels for scene in found.train)

    def test_without_class_images_the_largest_box_is_cut_out_and_not_judged(self, shop):
        found = read(config(shop, classes=""))
        assert found.class_images["jar"][0].cut_from == "two"
        assert found.class_images["jar"][0].picture.size() == (100, 50)
        difficult = dict(zip(found.evaluate[0].labels, found.evaluate[0].difficult.tolist(), strict=True))
        assert difficult["jar"], "it would be found in its own picture"

    def test_folders_of_class_images(self, shop):
        (shop / "classes" / "cup").mkdir()
        for i in range(3):
            Image.new("RGB", (30 + i, 30)).save(shop / "classes" / "cup" / f"{i}.png")
        (shop / "classes" / "cup.png").unlink()
        assert [image.picture.size()[0] for image in read(config(shop)).class_images["cup"]] == [30, 31, 32]

    def test_class_file_names_in_the_table(self, shop):
        header = LINES[0] + ",classfilename"
        (shop / "boxes.csv").write_text("\n".join([header, *(f"{line},classes/pan.png" for line in LINES[1:])]))
        assert read(config(shop, classes="")).class_images["jar"][0].picture.size() == (60, 20)

    def test_voc(self, shop):
        for split, scene, name in (("train", "one", "cup"), ("val", "two", "jar")):
            (shop / "voc" / split).mkdir(parents=True)
            (shop / "voc" / split / f"{scene}.xml").write_text(
                f"<annotation><filename>{scene}.jpg</filename><object><name>{name}</name><difficult>0</difficult>"
                "<bndbox><xmin>20</xmin><ymin>10</ymin><xmax>201</xmax><ymax>60</ymax></bndbox></object></annotation>"
            )
        found = read(config(shop, "voc", "voc"))
        assert found.trained == ("cup",)
        assert found.unseen == ("jar",)
        assert found.train[0].boxes.tolist() == [[20, 10, 200, 60]], "one pixel over the edge is an edge counted from 1"

    def test_yolo(self, shop):
        for split, scene, number in (("train", "one", 0), ("val", "two", 1)):
            (shop / "labels" / split).mkdir(parents=True)
            (shop / "images" / split).mkdir(parents=True)
            (shop / f"{scene}.jpg").rename(shop / "images" / split / f"{scene}.jpg")
            (shop / "labels" / split / f"{scene}.txt").write_text(f"{number} 0.5 0.5 0.2 0.4\n")
        (shop / "labels" / "classes.txt").write_text("cup\njar\n")
        found = read(config(shop, "yolo", "labels", "images"))
        assert found.train[0].labels == ("cup",)
        assert torch.allclose(found.train[0].boxes, torch.tensor([[80.0, 30, 120, 70]]))
        assert found.unseen == ("jar",)

    def test_flickr_logos_counts_nested_rows_once(self, shop):
        rows = ["one.jpg cup 1 10 20 60 70", "one.jpg cup 2 10 20 60 70", "two.jpg jar 1 0 0 50 50"]
        (shop / "logos.txt").write_text("\n".join(rows))
        found = read(config(shop, "flickr_logos", "logos.txt", files={"unseen": ("jar",)}))
        assert [scene.labels for scene in found.train] == [("cup",)]
        assert [scene.id for scene in found.evaluate] == ["two"]

    def test_scenes_without_boxes_are_judged_too(self, shop):
        (shop / "labels").mkdir()
        (shop / "labels" / "classes.txt").write_text("cup\njar\n")
        (shop / "images" / "train").mkdir(parents=True)
        (shop / "images" / "val").mkdir()
        for name, split in (("one", "train"), ("two", "val")):
            (shop / f"{name}.jpg").rename(shop / "images" / split / f"{name}.jpg")
        Image.new("RGB", (64, 64)).save(shop / "images" / "val" / "empty.png")
        for split, name, number in (("train", "one", 0), ("val", "two", 1)):
            (shop / "labels" / split).mkdir()
            (shop / "labels" / split / f"{name}.txt").write_text(f"{number} 0.5 0.5 0.2 0.4\n")
        found = read(config(shop, "yolo", "labels", "images"))
        assert [(scene.id, scene.labels) for scene in found.evaluate] == [("val/empty", ()), ("val/two", ("jar",))]


class TestBadInput:
    """One sentence each: what was found, what is allowed, what to do."""

    def refused(self, shop, *words, **values):
        with pytest.raises(DataError) as error:
            read(config(shop, **values))
        for word in words:
            assert word in str(error.value), str(error.value)

    def test_a_box_outside_the_picture(self, shop):
        rewrite(shop, "0,cup,one,0.1,1.2,0.2,0.6,0,train", LINES[4])
        said = f"{shop / 'boxes.csv'}: line 2: box (0.1, 0.2, 1.2, 0.6) lies outside 0 .. 1"
        self.refused(shop, said, "files.skip_bad")

    def test_a_box_without_area(self, shop):
        rewrite(shop, "0,cup,one,0.5,0.5,0.2,0.6,0,train", "0,cup,one,0.1,0.5,0.6,0.2,0,train", LINES[4])
        self.refused(shop, "line 2", "line 3", "has no area", "x0 < x1 and y0 < y1")

    def test_missing_columns(self, shop):
        (shop / "boxes.csv").write_text("imageid,classid,lx,ty\n")
        self.refused(shop, "column rx, by is missing", "found imageid, classid, lx, ty")

    def test_words_where_numbers_belong(self, shop):
        rewrite(shop, "0,cup,one,left,0.5,0.2,0.6,0,train")
        self.refused(shop, "line 2", "left", "numbers")

    def test_an_unknown_scene(self, shop):
        rewrite(shop, "0,cup,three,0.1,0.5,0.2,0.6,0,train")
        self.refused(shop, "line 2", "three.jpg", "files.images")

    def test_a_class_without_class_image(self, shop):
        (shop / "classes" / "jar.png").unlink()
        self.refused(shop, "class 'jar' has no class image in", "classes")

    def test_a_class_image_that_does_not_exist(self, shop):
        (shop / "boxes.csv").write_text(
            "\n".join([LINES[0] + ",classfilename", LINES[1] + ",classes/mug.png", LINES[4] + ","])
        )
        self.refused(shop, "line 2: class 'cup' has no class image: ", "mug.png")

    def test_pictures_that_do_not_decode_are_named(self, shop):
        (shop / "one.jpg").write_bytes(b"no picture")
        self.refused(shop, "one.jpg: the picture cannot be decoded (unknown format). Correct", "skip_bad = true")

    def test_class_images_that_do_not_decode_are_named(self, shop):
        (shop / "classes" / "cup.png").write_bytes(b"no picture")
        self.refused(shop, "cup.png: the picture cannot be decoded")

    def test_bad_rows_and_pictures_are_skipped_if_asked_and_noted(self, shop):
        torn = (shop / "one.jpg").read_bytes()
        (shop / "three.jpg").write_bytes(torn[: len(torn) // 2])
        rewrite(shop, LINES[1], "0,cup,one,0.5,0.5,0.2,0.6,0,train", "0,cup,three,0.1,0.5,0.2,0.6,0,train", LINES[4])
        found = read(config(shop, files={"skip_bad": True}))
        assert [len(scene.labels) for scene in found.train] == [1]
        assert "left out 2" in found.notes[0]
        assert "three.jpg" in found.notes[0]

    def test_no_positives_to_train_on(self, shop):
        rewrite(shop, "0,cup,one,0.1,0.5,0.2,0.6,1,train", LINES[4])
        self.refused(shop, "the training set has no positives", "steps = 0")
        assert read(config(shop, steps=0)).unseen == ("jar",)

    def test_no_class_kept_apart(self, shop):
        rewrite(shop, *(line.rpartition(",")[0] + ",train" for line in LINES[1:]))
        self.refused(shop, "no class is excluded from training", "files.unseen", "evaluation.classes = seen")

    def test_an_unknown_unseen_class(self, shop):
        self.refused(shop, "files.unseen: mug has no box", "cup, jar, pan", files={"unseen": ("mug",)})

    def test_yolo_without_names(self, shop):
        (shop / "labels").mkdir()
        self.refused(shop, "classes.txt", format="yolo", annotations="labels")

    def test_places_that_do_not_exist(self, shop):
        self.refused(shop, "files.annotations: ", annotations="none.csv")
        self.refused(shop, "files.class_images: the folder", classes="nowhere")

    def test_boxes_drawn_before_the_picture_was_turned(self, shop):
        (shop / "voc").mkdir()
        turned(shop / "one.jpg", 6)
        (shop / "voc" / "one.xml").write_text(
            "<annotation><size><width>200</width><height>100</height></size><object><name>cup</name>"
            "<bndbox><xmin>20</xmin><ymin>10</ymin><xmax>90</xmax><ymax>60</ymax></bndbox></object></annotation>"
        )
        self.refused(
            shop, "one.jpg: its boxes refer to 200 x 100", "the picture is 100 x 200", format="voc", annotations="voc"
        )

    def test_broken_xml(self, shop):
        (shop / "voc").mkdir()
        (shop / "voc" / "a.xml").write_text("<annotation>")
        self.refused(shop, "a.xml is not XML", format="voc", annotations="voc")


@pytest.fixture(scope="module")
def material():
    return read_material(data.load("grocery-sample")["all"])


class TestSynthesis:
    def test_classes_and_backgrounds(self, material):
        roles = list(material.roles.values())
        assert [roles.count(role) for role in ("base", "val", "novel")] == [45, 11, 25]
        shapes = sorted(icon.cut_out.width / icon.cut_out.height for icon in material.icons)
        assert shapes[0] < 0.4
        assert shapes[-1] > 2
        assert 0 < len(material.backgrounds) < 45, "photos of classes kept apart do not stand behind"

    def test_the_same_scene_for_the_same_seed_and_index(self, material):
        names = [name for name, role in material.roles.items() if role == "novel"]
        first, again = (make_scene(material, names, "hard", Layout(), 3, 5) for _ in range(2))
        other = make_scene(material, names, "hard", Layout(), 3, 6)
        assert first.picture.source == again.picture.source
        assert torch.equal(first.boxes, again.boxes)
        assert first.picture.source != other.picture.source

    def test_boxes_lie_on_what_was_pasted(self, material):
        """Easy objects on a black ground: the box of the pixels that are not black is the box."""
        black = type(material)(material.icons, (Image.new("RGB", (300, 300)),), material.roles)
        for index in range(6):
            scene = make_scene(black, ["Lemon"], "easy", Layout(200, 1, 60, 90), 0, index)
            bright = to_tensor(scene.picture.open()).mean(0) > 40 / 255
            rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
            seen = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
            assert (scene.boxes[0] - seen).abs().max() <= 6

    def test_training_scenes_hold_no_class_kept_apart(self):
        for judged in ("unseen", "novel"):
            cfg = Config(
                synth={"train_scenes": 12, "test_scenes": 6},
                evaluation={"classes": judged},
                model={"weights": "random"},
            )
            found = read(cfg)
            assert {label for scene in found.train for label in scene.labels}.isdisjoint(found.unseen)
            assert {label for scene in found.evaluate for label in scene.labels} <= {*found.unseen}
            assert len(found.trained) == (45 if judged == "unseen" else 56)
            assert len(found.unseen) > 5


@pytest.fixture
def stickers(tmp_path):
    """Discs of eleven colours: ten on transparent ground, one on white."""
    for i in range(11):
        disc = Image.new("RGBA", (60, 40), (255, 255, 255, 255) if i == 10 else (255, 0, 0, 0))
        ImageDraw.Draw(disc).ellipse((20, 10, 40, 30), fill=(20 * i, 60, 200 - 15 * i, 255))
        disc.save(tmp_path / f"disc{i}.png")
    return tmp_path


class TestIcons:
    """The synthesiser with pictures of one's own."""

    def config(self, folder):
        synth = {"icons": str(folder), "train_scenes": 3, "test_scenes": 3}
        return Config(synth=synth, evaluation={"classes": "novel"}, model={"weights": "random"})

    def test_scenes_show_them(self, stickers):
        found = read(self.config(stickers))
        assert (len(found.trained), len(found.class_images)) == (8, 11), "25 of 81 are novel, 3 of 11"
        assert {label for scene in found.evaluate for label in scene.labels} <= {f"disc{i}" for i in range(11)}
        assert all("disc" in label for scene in found.train for label in scene.labels)

    def test_alpha_and_plain_ground_are_cut_alike(self, stickers):
        found = {icon.name: icon.cut_out for icon in read_material(data.load("grocery-sample")["all"], stickers).icons}
        assert found["disc3"].size == (21, 21)
        assert abs(found["disc10"].width - 21) <= 2, "a ring of one pixel is taken off a plain ground"
        corner, centre = found["disc3"].getpixel((0, 0)), found["disc3"].getpixel((10, 10))
        assert (corner[3], centre) == (0, (60, 60, 155, 255))

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda folder: Image.new("RGB", (9, 9)).save(folder / "z.png"), ["z.png cannot be cut out", "its ground"]),
            (lambda folder: (folder / "z.png").write_bytes(b"no"), ["z.png cannot be cut out", "alpha channel"]),
            (
                lambda folder: [file.unlink() for file in folder.glob("disc?.png")],
                ["too few pictures in", ": 1; give 8 or more"],
            ),
            (lambda folder: folder.rename(folder.with_name("gone")), ["synth.icons: the folder"]),
        ],
    )
    def test_mistakes(self, stickers, spoil, words):
        spoil(stickers)
        with pytest.raises(DataError) as error:
            read(self.config(stickers))
        for word in words:
            assert word in str(error.value)


class TestShipped:
    def test_the_sample(self):
        found = read(Config(dataset="oneshot-sample", model={"weights": "random"}))
        assert found.trained == ("jack", "nine", "queen", "ten")
        assert {"king", "ace"} <= set(found.unseen)
        assert len(found.class_images["king"]) == 4, "one for each suit"
        assert len(found.evaluate) == 5
        assert all(set(scene.labels) <= set(found.trained) for scene in found.train)

    def test_the_shelf_photo_has_nothing_to_train_on(self):
        found = read(Config(dataset="shelf-demo", steps=0, model={"weights": "random"}))
        assert found.train == ()
        assert len(found.evaluate[0].labels) == 10


class TestEvalScale:
    def test_a_typical_object_is_as_large_as_the_window(self):
        scenes = read(Config(dataset="oneshot-sample", model={"weights": "random"})).train
        found = eval_scale(scenes, 7, None)
        shares = torch.cat([(s.boxes[:, 2:] - s.boxes[:, :2]).prod(-1).sqrt() / max(s.width, s.height) for s in scenes])
        assert found.long_side == pytest.approx(112 / float(shares.quantile(0.5)), rel=0.03)
        assert "16 x 7 = 112 pixels" in found.explanation
        assert eval_scale((), 7, 300).long_side == 300
        with pytest.raises(DataError, match=r"set inference\.eval_scale"):
            eval_scale((), 7, None)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_seen_as_their_exif_orientation_says(tmp_path, orientation, ending):
    """A bright corner lies where the tag says that row 0 and column 0 are; size, crop and pixels agree."""
    pixels = Image.new("RGB", (40, 20))
    pixels.paste((255, 255, 255), (0, 0, 10, 5))  # the first rows, the first columns
    path = tmp_path / f"p.{ending}"
    pixels.save(path)
    turned(path, orientation)
    # Exif 2.3, tag 274: where row 0 and column 0 of the stored pixels are seen.
    corner = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left",
              5: "top left", 6: "top right", 7: "bottom right", 8: "bottom left"}[orientation]  # fmt: skip
    picture = Picture("p", str(path))
    seen = to_tensor(picture.open())
    assert picture.size() == (seen.shape[2], seen.shape[1]) == ((20, 40) if orientation > 4 else (40, 20))
    wide, high = (5, 10) if orientation > 4 else (10, 5)
    x = 0 if "left" in corner else seen.shape[2] - wide
    y = 0 if "top" in corner else seen.shape[1] - high
    inside = Picture("p", str(path), (x + 1, y + 1, x + wide - 1, y + high - 1))
    assert to_tensor(inside.open()).mean() > 0.9
    assert seen.sum() == pytest.approx(3 * 50, rel=0.1)


def test_boxes_of_a_turned_photo_lie_where_its_viewer_sees_them(shop):
    """The table speaks of the picture as it is shown: 100 x 200, with its upper half white."""
    stored = Image.new("RGB", (200, 100))
    stored.paste((255, 255, 255), (0, 0, 100, 100))
    stored.save(shop / "one.jpg")
    turned(shop / "one.jpg", 6)
    rewrite(shop, "0,cup,one,0,1,0,0.5,0,train", LINES[4])
    found = read(config(shop, classes=""))
    (scene,) = found.train
    assert (scene.width, scene.height, scene.boxes.tolist()) == (100, 200, [[0, 0, 100, 100]])
    assert to_tensor(found.class_images["cup"][0].picture.open()).mean() > 0.95


def test_a_crop_is_kept_inside_the_picture():
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "PNG")
    assert Picture("p", buffer.getvalue(), (-5.0, 10.2, 40.0, 10.3)).size() == (30, 1)
