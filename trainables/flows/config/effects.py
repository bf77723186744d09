"""Values that were changed although nothing reads them under the others: a run says which, and trains on."""

from __future__ import annotations

from collections.abc import Mapping

from raybayes.contract import require_entries
from trainables.flows.config.objectives import OBJECTIVES
from trainables.flows.config.presets import TOYS
from trainables.flows.config.values import HeadKind, TrunkKind, Values

_NETS = ("width", "blocks")
_OF_TRUNK: dict[TrunkKind, tuple[str, ...]] = {
    "masked_glow": ("levels", "checkerboards", "steps", "net", "mix", "start", *_NETS),
    "glow": ("levels", "steps", "net", "mix", "start", *_NETS),
    "couplings": ("steps", "zero", "mix", "start", *_NETS),
    "identity": (),
    "ode": _NETS,
}
_OF_HEAD: dict[HeadKind, tuple[str, ...]] = {
    "flow": ("levels", "steps", "embedding", "label_scale", *_NETS),
    "shift": ("spread",),
    "ode": _NETS,
}
require_entries(TrunkKind, _OF_TRUNK, "trainables/flows/config/effects.py: _OF_TRUNK")
require_entries(HeadKind, _OF_HEAD, "trainables/flows/config/effects.py: _OF_HEAD")


def without_effect(config: Values) -> list[str]:
    """One sentence per value that differs from its preset's and changes nothing."""
    usual = Values(preset=config.preset, dataset=config.dataset)
    mixes = ("mix", "start") if config.head.kind == "flow" else ()  # the head mixes as the trunk does
    groups: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("trunk", f"trunk.kind = {config.trunk.kind}", ("kind", *_OF_TRUNK[config.trunk.kind], *mixes)),
        ("head", f"head.kind = {config.head.kind}", ("kind", *_OF_HEAD[config.head.kind])),
        ("loss", f"objective = {config.objective}", OBJECTIVES[config.objective].weights),
    )
    found = []
    for group, reason, read in groups:
        mine, theirs = getattr(config, group).model_dump(), getattr(usual, group).model_dump()
        found += [f"{group}.{name} = {mine[name]} has no effect with {reason}" for name in mine
                  if name not in read and mine[name] != theirs[name]]  # fmt: skip
    return found + _of_the_data(config, usual)


def _of_the_data(config: Values, usual: Values) -> list[str]:
    drawn = config.dataset in TOYS
    reasons: Mapping[str, str | None] = {
        "points": None if drawn else "a data set has its own examples",
        "spread": None if drawn else "a data set has its own noise",
        "whiten": None if config.pca else "pca = 0",
        "split": "all labels are used (labels = 0)" if config.labels == 0 else None,
    }
    return [f"{name} = {getattr(config, name)} has no effect: {reason}" for name, reason in reasons.items()
            if reason is not None and getattr(config, name) != getattr(usual, name)]  # fmt: skip
