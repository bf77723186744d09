"""Named sets of values, so that one word selects a model of the right size with settings that suit it.

Values given explicitly override those of the preset. The five picture presets are the architectures of the
table in docs/projects/flows.md. "[P]" in `config` marks the paper's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from raybayes.contract import require_entries

PresetName = Literal["toy", "vectors", "pca32", "cpu-16x16", "cpu", "small", "medium", "paper", "glow"]
TOYS = ("moons", "circles")

_MASKED = {"kind": "masked_glow", "levels": 3, "checkerboards": 3, "steps": 2, "net": "resnet", "start": "eye"}
_DEEP = {"kind": "flow", "levels": 2, "steps": 4}
_PICTURES = {
    "bound": "half",
    "labels": 100,
    "batch": 256,
    "labelled_share": 1 / 3,
    "lr": 1e-3,
    "dataset": "mnist-sample",
}
_SHORT = {"batch": 96, "labelled_share": 0.25, "lr": 3e-3, "warmup": 50, "objective": "hybrid"}
_VECTORS = {
    **_SHORT,
    "dataset": "mnist-sample",
    "labels": 100,
    "labelled_share": 0.15,
    "steps": 3000,
    "input_noise": 0.25,
    "loss": {"ce": 10.0},
    "trunk": {"kind": "couplings", "steps": 2, "width": 128, "blocks": 2, "zero": True, "start": "orthogonal"},
    "head": {"kind": "flow", "levels": 1, "steps": 2, "width": 96, "blocks": 1},
}
_TRUNKS: dict[str, dict[str, Any]] = {
    "paper": {"width": 64, "blocks": 4},
    "medium": {"width": 32, "blocks": 2},
    "small": {"width": 32, "blocks": 1},
    "cpu": {"width": 16, "blocks": 1},
}
_HEADS: dict[str, dict[str, Any]] = {
    "paper": {"width": 256, "blocks": 4, "label_scale": None},
    "medium": {"width": 128, "blocks": 4},
    "small": {"width": 128, "blocks": 2},
    "cpu": {"width": 64, "blocks": 4},
}

PRESETS: dict[str, dict[str, Any]] = {
    "toy": {"dataset": "moons", "labels": 10},  # all else: the defaults of Config
    "vectors": _VECTORS,
    "pca32": {**_VECTORS, "pca": 32},
    "cpu-16x16": {
        **_PICTURES,
        **_SHORT,
        "shrink": 2,
        "pad": 1,
        "steps": 500,
        "loss": {"ce": 50.0},
        "trunk": {**_MASKED, "checkerboards": 2, "steps": 1, "width": 24, "blocks": 1},
        "head": {**_DEEP, "width": 128, "blocks": 2},
    },
    **{
        name: {
            **_PICTURES,
            "steps": 117_500 if name == "paper" else 20_000,
            "trunk": {**_MASKED, **_TRUNKS[name]},
            "head": {**_DEEP, **_HEADS[name]},
        }
        for name in _TRUNKS
    },
    "glow": {
        **_PICTURES,
        "steps": 20_000,
        "trunk": {"kind": "glow", "levels": 2, "steps": 4, "net": "glow", "width": 64, "blocks": 1,
                  "start": "orthogonal"},
        "head": {**_DEEP, "width": 128, "blocks": 2},
    },
}  # fmt: skip

require_entries(PresetName, PRESETS, "trainables/flows/config/presets.py: PRESETS")

# How many examples are held out for validation, where the data set has enough for more than the default of 400.
_VALIDATION = {"moons": 500, "circles": 500, "mnist": 2000, "cifar10": 2000, "cifar10-original": 2000}


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Given values, and below them those of their preset and their data set.

    Without a preset, the data set decides: moons and circles are toys, `pca` and other Parquet files mean vectors,
    pictures shrunk to half their size take cpu-16x16, others cpu. Of a Parquet file, all labels are used, and a
    fifth of each class's labelled rows validates, unless the file or the values say otherwise.
    """
    name = values.get("preset") or _guessed(values)
    if not isinstance(name, str) or name not in PRESETS:
        return dict(values)  # the field's own validation reports it
    dataset = values.get("dataset", PRESETS[name].get("dataset"))
    own = isinstance(dataset, str) and dataset.endswith(".parquet")
    all_labels = own or values.get("labelled_rows") is not None  # what is labelled, the user has said already
    merged = _over(_over(PRESETS[name], {"labels": 0} if all_labels else {}), values)
    merged["preset"] = name
    if not own and merged.get("validation") is None:
        merged["validation"] = _VALIDATION.get(str(dataset), 400)
    merged.setdefault("validation", None)
    return merged


def _guessed(values: Mapping[str, Any]) -> str:
    dataset = values.get("dataset", "moons")
    if dataset in TOYS:
        return "toy"
    if values.get("pca"):
        return "pca32"
    if isinstance(dataset, str) and dataset.endswith(".parquet"):
        return "vectors"
    return "cpu-16x16" if values.get("shrink") == 2 else "cpu"


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        mine = merged.get(name)
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        merged[name] = _over(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return merged
