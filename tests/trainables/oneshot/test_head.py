"""The head against loops that follow its definition point by point."""

import math

import pytest
import torch

from trainables.oneshot.geometry import windows as win
from trainables.oneshot.geometry.boxes import iou
from trainables.oneshot.model import head as h
from trainables.oneshot.model.spectral import TiledConv2d

ALL = [
    ("identity", "exact", "square"),
    ("affine4", "exact", "class"),
    ("affine6", "exact", "square"),
    ("affine6_inverse", "exact", "class"),
    ("affine4", "reference", "square"),
    ("affine6_inverse", "reference", "class"),
]


def inputs(grid, k=2, b=2, rows=5, columns=6, channels=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    classes = h.normalise(torch.randn(k, channels, grid, grid, generator=generator))
    scenes = h.normalise(torch.randn(b, channels, rows, columns, generator=generator))
    return classes, scenes, generator


def interpolated(channel, x, y):
    """Bilinear value of a map (H, W) at column x and row y, edges repeated."""
    rows, columns = channel.shape
    x, y = min(max(x, 0.0), columns - 1.0), min(max(y, 0.0), rows - 1.0)
    x0, y0 = min(int(x), max(columns - 2, 0)), min(int(y), max(rows - 2, 0))
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    fx, fy = x - x0, y - y0
    top = channel[y0, x0] * (1 - fx) + channel[y0, x1] * fx
    low = channel[y1, x0] * (1 - fx) + channel[y1, x1] * fx
    return float(top * (1 - fy) + low * fy)


def by_hand(classes, scenes, predicted, geometry, kind, aspect):
    """Scores (B, K, H, W) and boxes (B, K, H, W, 4), one cell and one class point at a time, in double precision."""
    b, k, (rows, columns) = len(scenes), len(classes), scenes.shape[2:]
    g = geometry.grid
    scores, boxes = torch.zeros(b, k, rows, columns), torch.zeros(b, k, rows, columns, 4)
    lines = [-1 + 2 * i / (g - 1) for i in range(g)]
    for bi in range(b):
        for ki in range(k):
            correlation = {
                (u, v): torch.einsum("c,chw->hw", classes[ki, :, u, v], scenes[bi]).double()
                for u in range(g)
                for v in range(g)
            }
            for i in range(rows):
                for j in range(columns):
                    p = predicted[bi * k + ki, :, i, j].tolist()
                    if len(p) == 4:
                        p = [p[0], 0.0, p[1], 0.0, p[2], p[3]]
                    full = torch.tensor([p[:3], p[3:], [0, 0, 1]], dtype=torch.float64)
                    if kind == "affine6_inverse":
                        full = torch.linalg.inv(full)
                    full = full @ torch.diag(torch.tensor([*aspect[ki].tolist(), 1.0], dtype=torch.float64))
                    total, points = [], []
                    for u in range(g):
                        for v in range(g):
                            x, y, _ = (full @ torch.tensor([lines[v], lines[u], 1.0], dtype=torch.float64)).tolist()
                            points.append((16 * (j + 0.5) + 8 * g * x, 16 * (i + 0.5) + 8 * g * y))
                            if geometry.sampling == "exact":
                                at = ((g - 1) / 2 * x + j, (g - 1) / 2 * y + i)
                            else:
                                at = (g / 2 * x + j + 0.5, g / 2 * y + i + 0.5)
                            inner = range(geometry.border, g - geometry.border)
                            if u in inner and v in inner:
                                total.append(interpolated(correlation[u, v], *at))
                    scores[bi, ki, i, j] = sum(total) / len(total)
                    xs, ys = zip(*points, strict=True)
                    boxes[bi, ki, i, j] = torch.tensor([min(xs), min(ys), max(xs), max(ys)])
    return scores, boxes


@pytest.mark.parametrize(("kind", "sampling", "shape"), ALL)
def test_scores_and_boxes_equal_a_loop(kind, sampling, shape):
    geometry = win.Geometry(5, 1, sampling)
    classes, scenes, generator = inputs(5)
    head = h.Head(geometry, kind, "float32").eval()
    if head.transform is not None:
        with torch.no_grad():
            head.transform.linear.weight.normal_(0, 0.05, generator=generator)
    aspect = torch.tensor([win.aspect_of(30, 50), win.aspect_of(3, 1)]) if shape == "class" else torch.ones(2, 2)
    found = head(classes, scenes, aspect)
    flat = h.correlate(classes, scenes).flatten(0, 1)
    predicted = torch.tensor([1.0, 0, 0, 0, 1, 0]).view(1, 6, 1, 1).expand(4, 6, 5, 6)
    if head.transform is not None:
        predicted = head.transform(flat)
        assert predicted.std() > 0.05, "the transformations must differ from the identity for the test to see anything"
    scores, boxes = by_hand(classes, scenes, predicted.detach(), geometry, kind, aspect)
    assert (found.scores - scores).abs().max() < 1e-5
    assert (win.boxes_of(found.maps, 5).view(boxes.shape) - boxes).abs().max() < 1e-3
    corners = win.corners_of(found.maps, 5).view(2, 2, 5, 6, 4, 2)
    assert torch.allclose(corners.amin(-2), boxes[..., :2], atol=1e-3)
    assert torch.allclose(corners.amax(-2), boxes[..., 2:], atol=1e-3)


def test_channels_are_column_by_column():
    classes, scenes, _ = inputs(3)
    found = h.correlate(classes, scenes)
    for u in range(3):
        for v in range(3):
            wanted = torch.einsum("kc,bchw->bkhw", classes[:, :, u, v], scenes)
            assert torch.allclose(found[:, :, v * 3 + u], wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["identity", "affine4", "affine6", "affine6_inverse"])
def test_at_first_boxes_are_the_anchors(kind):
    classes, scenes, _ = inputs(7)
    aspect = torch.tensor([win.aspect_of(2, 1), (1.0, 1.0)])
    found = h.Head(win.Geometry(7, 1), kind, "float32").eval()(classes, scenes, aspect)
    assert torch.equal(win.boxes_of(found.maps, 7), win.anchors(5, 6, 7, aspect).expand(2, 2, 30, 4))


def test_anchors_are_squares_of_g_cells_centred_on_cells():
    found = win.anchors(2, 3, 15, torch.ones(1, 2))[0]
    assert found[0].tolist() == [8 - 120, 8 - 120, 8 + 120, 8 + 120]
    assert found[4].tolist() == [24 - 120, 24 - 120, 24 + 120, 24 + 120], "row by row"


def test_an_aligned_copy_scores_one_where_it_lies_with_the_exact_grid_only():
    scenes = h.normalise(torch.randn(1, 64, 15, 15, generator=torch.Generator().manual_seed(1)))
    classes = scenes[:, :, 4:11, 5:12]  # rows 4..10, columns 5..11: centred on cell (7, 8)
    exact = h.Head(win.Geometry(7, 0, "exact"), "identity", "float32")(classes, scenes, torch.ones(1, 2)).scores[0, 0]
    stretched = h.Head(win.Geometry(7, 0, "reference"), "identity", "float32")(classes, scenes, torch.ones(1, 2)).scores
    assert divmod(int(exact.argmax()), 15) == (7, 8)
    assert exact.max() > 0.9999
    assert stretched.max() < 0.8
    box = win.boxes_of(torch.tensor([1.0, 0, 0, 0, 1, 0]).view(1, 1, 6, 1, 1).expand(1, 1, 6, 15, 15), 7)[
        0, 0, 7 * 15 + 8
    ]
    assert box.tolist() == [5 * 16, 4 * 16, 12 * 16, 11 * 16]


def test_an_even_grid_cannot_lie_on_an_aligned_copy():
    """Why even grids are refused: the best anchor is half a cell off on both axes."""
    copy = torch.tensor([[4 * 16.0, 4 * 16, 12 * 16, 12 * 16]])
    assert 0.76 < float(iou(win.anchors(16, 16, 8, torch.ones(1, 2))[0], copy).max()) < 0.80
    copy = torch.tensor([[4 * 16.0, 4 * 16, 11 * 16, 11 * 16]])
    assert float(iou(win.anchors(16, 16, 7, torch.ones(1, 2))[0], copy).max()) == 1.0


def test_the_inverse_is_the_matrix_inverse():
    maps = torch.randn(50, 6, 1, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = win.invert(maps)[..., 0, 0].view(-1, 2, 3)
    full = torch.cat([maps[..., 0, 0].view(-1, 2, 3), torch.tensor([[[0.0, 0, 1]]]).expand(50, 1, 3).double()], 1)
    assert torch.allclose(found, torch.linalg.inv(full)[:, :2], rtol=1e-8, atol=1e-8)
    flat = torch.tensor([1.0, 2, 0, 2, 4, 0]).view(1, 6, 1, 1)
    assert torch.isfinite(win.invert(flat)).all(), "a map without an inverse stays finite"


def test_no_gradient_reaches_transformations_through_the_detached_scores():
    classes, scenes, _ = inputs(3)
    scenes.requires_grad_()
    head = h.Head(win.Geometry(3, 0), "affine4", "float32").eval()
    found = head(classes, scenes, torch.ones(2, 2), detached=True)
    assert torch.equal(found.scores, found.detached)
    assert torch.autograd.grad(found.scores.sum(), head.transform.linear.bias, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(found.detached.sum(), head.transform.linear.bias, allow_unused=True)[0] is None


def test_classes_and_scenes_do_not_see_each_other():
    classes, scenes, generator = inputs(5, k=4, b=3)
    head = h.Head(win.Geometry(5, 1), "affine6", "float32").eval()
    with torch.no_grad():
        head.transform.linear.weight.normal_(0, 0.05, generator=generator)
    whole = head(classes, scenes, torch.ones(4, 2)).scores
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(head(classes[order], scenes, torch.ones(4, 2)).scores, whole[:, order], atol=1e-6)
    assert torch.allclose(head(classes[1:2], scenes[2:], torch.ones(1, 2)).scores, whole[2:, 1:2], atol=1e-6)


def test_bfloat16_changes_scores_little():
    classes, scenes, generator = inputs(7, channels=32)
    full, low = (h.Head(win.Geometry(7, 1), "affine4", p).eval() for p in ("float32", "bfloat16"))
    with torch.no_grad():
        full.transform.linear.weight.normal_(0, 0.01, generator=generator)
    low.load_state_dict(full.state_dict())
    difference = full(classes, scenes, torch.ones(2, 2)).scores - low(classes, scenes, torch.ones(2, 2)).scores
    assert 0 < difference.abs().max() < 0.01


@pytest.mark.parametrize(("channels", "height", "width"), [(9, 10, 10), (25, 14, 31), (49, 33, 17)])
def test_the_tiled_convolution_is_the_direct_one(channels, height, width):
    generator = torch.Generator().manual_seed(0)
    conv = TiledConv2d(channels, 12, 7, padding=3)
    with torch.no_grad():
        conv.weight.normal_(0, 0.1, generator=generator)
        x = torch.randn(3, channels, height, width, generator=generator)
        direct = torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=3)
        assert (conv(x) - direct).abs().max() < 2e-5
        assert not torch.equal(conv(x), direct), "the tiled way was taken"
        with torch.autocast("cpu", torch.bfloat16):
            assert (conv(x) - direct).abs().max() < 2e-5, "float32 under autocast too"
        conv.weight.mul_(2)
        bias = conv.bias.view(1, -1, 1, 1)
        assert (conv(x) - (2 * (direct - bias) + bias)).abs().max() < 4e-5, "new weights, new frequencies"
    assert torch.equal(conv(x), torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=3)), "training is direct"


def test_sizes_of_the_published_network():
    count = [sum(p.numel() for p in h.TransformNet(grid, p).parameters()) for grid, p in ((15, 4), (15, 6), (7, 4))]
    assert count == [1_622_980, 1_626_182, 519_108]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (1, 3), (100, 1)])
def test_aspect_is_clamped(width, height):
    x, y = win.aspect_of(width, height)
    assert 0.5 <= x <= 2
    assert 0.5 <= y <= 2
    if max(width, height) <= 4:
        assert x * y == pytest.approx(1)
        assert x / y == pytest.approx(width / height)


def test_scores_lie_between_minus_one_and_one():
    classes, scenes, _ = inputs(3)
    found = h.Head(win.Geometry(3, 0), "identity", "float32")(classes, scenes, torch.ones(2, 2)).scores
    assert found.abs().max() <= 1
    assert not math.isclose(float(found.std()), 0)
