"""What a configuration names in files of the user's, looked at before anything starts."""

from __future__ import annotations

from pathlib import Path

import torch

from raybayes.contract import Load
from trainables.oneshot.config import Config
from trainables.oneshot.data.loaders import choose
from trainables.oneshot.data.synthesis import read_material
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.detection.scales import eval_scale
from trainables.oneshot.evaluation.evaluate import check_storage
from trainables.oneshot.model.weights import packaged_path


def check(config: Config, data: Load) -> None:
    """Whether annotations, pictures and weights are there and fit.

    Raises:
        DataError: what is missing or wrong, as in training.
    """
    if config.files.format is not None:
        found = choose(config, data)
        scale = eval_scale(found.train or found.evaluate, config.model.grid_size, config.inference.eval_scale)
        check_storage(config, found, scale.long_side)
    elif config.dataset == "grocery-sample" and config.synth.icons:
        read_material(data(config.dataset)["all"], Path(config.synth.icons).expanduser())
    if config.model.weights not in ("random", "packaged") or config.model.transform_weights:
        Detector(config, torch.Generator().manual_seed(0))
    elif config.model.weights == "packaged":
        packaged_path()
