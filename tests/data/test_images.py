"""Tables become tensors, pixel for pixel."""

import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

import raybayes.data as data
from raybayes.data.images import images, normalise
from raybayes.errors import DataError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 5, 4, 3), np.uint8)  # (n, height, width, channels), as PIL has it
GREY = RNG.integers(0, 256, (6, 5, 4), np.uint8)


def encoded(pixels: np.ndarray, kind: str) -> list[bytes]:
    files = []
    for picture in pixels:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind)
        files.append(file.getvalue())
    return files


def table(name: str, values: object, labels: object = (0, 1, 2, 3, 4, 5)) -> pa.Table:
    return pa.table({name: values, "label": pa.array(labels, pa.int8())})


def chunked(whole: pa.Table) -> pa.Table:
    """The same rows in three chunks that do not begin where their buffers do."""
    return pa.concat_tables([whole.slice(0, 1), whole.slice(1, 3), whole.slice(4)])


@pytest.mark.parametrize("of", [pa.binary(60), pa.binary(), pa.large_binary()])
def test_raw_bytes_come_channel_by_channel(of):
    planar = COLOUR.transpose(0, 3, 1, 2)
    pictures, labels = images(chunked(table("image", pa.array([p.tobytes() for p in planar], of))), 3, (5, 4))
    assert torch.equal(pictures, torch.from_numpy(planar.copy()))
    assert (pictures.dtype, labels.dtype, labels.tolist()) == (torch.uint8, torch.int64, [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("name", ["png", "image"])
def test_png_files_round_trip(name):
    pictures, _ = images(chunked(table(name, encoded(COLOUR, "png"))), 3, (5, 4))
    assert torch.equal(pictures.permute(0, 2, 3, 1), torch.from_numpy(COLOUR))
    pictures, _ = images(table(name, encoded(GREY, "png")), 1, (5, 4))
    assert torch.equal(pictures[:, 0], torch.from_numpy(GREY))


def test_jpeg_files_come_near_what_was_encoded():
    across, down = np.meshgrid(np.arange(32), np.arange(32))
    smooth = np.stack([8 * across, 8 * down, 4 * (across + down)], axis=-1).astype(np.uint8)[None]
    file = io.BytesIO()
    Image.fromarray(smooth[0]).save(file, "JPEG", quality=95, subsampling=0)
    pictures, _ = images(table("jpeg", [file.getvalue()], [0]), 3, 32)
    assert (pictures.permute(0, 2, 3, 1).int() - torch.from_numpy(smooth).int()).abs().max() <= 8


def test_encoded_pictures_turn_grey_or_coloured_as_asked():
    grey, _ = images(table("png", encoded(COLOUR, "png")), 1, (5, 4))
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(grey[:, 0].numpy() - luma).max() <= 1
    colour, _ = images(table("png", encoded(GREY, "png")), 3, (5, 4))
    assert torch.equal(colour, torch.from_numpy(GREY)[:, None].expand(-1, 3, -1, -1))


def test_the_digits_have_ink_in_the_middle():
    pictures, labels = images(data.load("mnist-sample")["train"], 1, 28)
    assert (pictures.shape, labels.shape) == ((2000, 1, 28, 28), (2000,))
    brightness = pictures.float().mean((0, 1))
    assert brightness[10:18, 10:18].mean() > 5 * brightness[:, :4].mean()


def test_no_rows_give_empty_tensors():
    pictures, labels = images(table("jpeg", pa.array([], pa.binary()), []), 3, 32)
    assert (pictures.shape, labels.shape, labels.dtype) == ((0, 3, 32, 32), (0,), torch.int64)


PNG = encoded(COLOUR, "png")
DEEP = encoded(np.zeros((6, 5, 4), np.uint16), "png")


@pytest.mark.parametrize(
    ("rows", "channels", "message"),
    [
        (
            table("image", [b"x" * 60] * 4 + [b"x" * 59] * 2),
            3,
            r"column 'image', row 4: found 59 bytes of pixels, wanted 3 x 5 x 4 = 60",
        ),
        (table("png", [*PNG[:5], PNG[5][:-30]]), 3, r"'png', row 5: the picture cannot be decoded \(.+\); replace it"),
        (table("jpeg", [*PNG[:2], b"", *PNG[:3]]), 3, r"column 'jpeg', row 2: the picture cannot be decoded"),
        (table("jpeg", [b"no picture at all"] * 6), 3, r"row 0: the picture cannot be decoded \(unknown format\)"),
        (table("jpeg", encoded(COLOUR, "gif")), 3, r"column 'jpeg', row 0: the picture cannot be decoded"),
        (
            table("png", [*PNG[:3], *encoded(COLOUR[:3, :4], "png")]),
            3,
            r"column 'png', row 3: found a picture of 3 x 4 x 4, wanted 3 x 5 x 4; resize it, or request its own size",
        ),
        (
            table("png", DEEP),
            1,
            r"row 0: the picture cannot be decoded \(its mode is I;16, more than 8 bits per channel\)",
        ),
        (table("png", PNG), 4, r"column 'png' holds encoded pictures; they decode to 1 \(grey\) or 3 \(RGB\) channels"),
        (table("picture", PNG), 3, r"no column holds pictures; found picture, label; wanted one of image, jpeg, png"),
        (table("image", ["a"] * 6), 3, r"column 'image' has type string, wanted bytes"),
        (table("png", [*PNG[:5], None]), 3, r"column 'png' has 1 empty cells; every row needs a picture"),
        (pa.table({"png": PNG}), 3, r"column 'label' is missing; found png"),
        (
            table("png", PNG, [0, 1, 2, 3, 4, None]),
            3,
            r"column 'label' has type int8 and 1 empty cells; wanted an integer",
        ),
    ],
)
def test_what_is_wrong_with_a_picture_is_said(rows, channels, message):
    with pytest.raises(DataError, match=message):
        images(rows, channels, (5, 4))


def test_normalised_digits_have_mean_zero_and_deviation_one():
    pictures, _ = images(data.load("mnist-sample")["train"], 1, 28)
    scaled = normalise(pictures, "mnist")
    assert torch.equal(scaled, normalise(pictures, "mnist-sample"))
    assert torch.allclose(scaled, (pictures / 255 - 0.1307) / 0.3081, atol=1e-6)
    # The sample is balanced where the full set is not quite, so a few hundredths remain.
    assert abs(scaled.mean()) < 0.05
    assert abs(scaled.std() - 1) < 0.05
    assert scaled.dtype == torch.float32


def test_normalised_colours_have_mean_zero_and_deviation_one_in_each_channel():
    pictures, _ = images(data.load("cifar10-sample")["train"], 3, 32)
    scaled = normalise(pictures, "cifar10")
    assert torch.allclose(scaled.mean((0, 2, 3)), torch.zeros(3), atol=0.05)
    assert torch.allclose(scaled.std((0, 2, 3)), torch.ones(3), atol=0.05)
    one = normalise(pictures[0], "cifar10")
    assert torch.equal(one, scaled[0])


def test_numbers_of_your_own_normalise_your_own_pictures():
    pixels = data.Pixels(3, 5, 4, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    scaled = normalise(torch.full((2, 3, 5, 4), 255, dtype=torch.uint8), pixels)
    assert scaled[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("pictures", "like", "message"),
    [
        (
            torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
            "mnist",
            r"images of shape \(2, 3, 8, 8\) .*; wanted \(\.\.\., 1, h",
        ),
        (
            torch.zeros(2, 1, 8, 8),
            "mnist",
            r"type torch\.float32; wanted \(\.\.\., 1, height, width\) of type torch\.ui",
        ),
        (
            torch.zeros(2, 1, 8, 8),
            "tsp",
            r"data set 'tsp' has no pixel mean and standard deviation; use one of mnist, cifar10",
        ),
    ],
)
def test_what_cannot_be_normalised_is_said(pictures, like, message):
    with pytest.raises(DataError, match=message):
        normalise(pictures, like)
