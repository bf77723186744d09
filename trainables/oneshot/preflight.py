"""Checks of the user's files that a configuration names, before anything starts."""

from __future__ import annotations

from pathlib import Path

import torch

from raybayes.contract import Load
from trainables.oneshot.config import Config
from trainables.oneshot.data.loaders import load_data
from trainables.oneshot.data.synthesis import read_material
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.detection.scales import eval_scale
from trainables.oneshot.evaluation.evaluate import require_storage
from trainables.oneshot.model.weights import packaged_path


def check(config: Config, data: Load) -> None:
    """Check that annotations, pictures and weights exist and match.

    Raises:
        DataError: a file is missing or wrong, with the same message as in training.
    """
    if config.files.format is not None:
        found = load_data(config, data)
        scale = eval_scale(found.train or found.evaluate, config.model.grid_size, config.inference.eval_scale)
        require_storage(config, found, scale.long_side)
    elif config.dataset == "grocery-sample" and config.synth.icons:
        read_material(data(config.dataset)["all"], Path(config.synth.icons).expanduser())
    if config.model.weights not in ("random", "packaged") or config.model.transform_weights:
        Detector(config, torch.Generator().manual_seed(0))
    elif config.model.weights == "packaged":
        packaged_path()
