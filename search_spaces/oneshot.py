"""Search spaces of the detector: losses with margins as a gap, assignment, the geometry of matching, step sizes.

Trials are evaluated on val classes (evaluation.classes = unseen); test the winner on novel ones
(-s evaluation.classes=novel). Suppression, levels and thresholds need no trials: `raybayes rescore` tries them on the
stored boxes.
"""

from raybayes.space import Choice, Float, Int, Space

_MINED = ("contrastive", "hinge")
_MOVES = ("affine4", "affine6", "affine6_inverse")

# Training: the parameters that matter most on a small budget.
SPACE = Space(
    {
        "loss.objective": Choice("rll", "contrastive", "hinge"),  # paper: rll
        "loss.negative_margin": Float(0.05, 0.6),  # paper: 0.5; scores lie between -1 and 1
        "loss.margin_gap": Float(0.0, 0.4),  # paper: 0.1 (rll); a gap, so that the margins never cross
        "loss.ranked_ratio": Float(1e-4, 1e-1, log=True, when={"loss.objective": "rll"}),  # paper: 0.001
        "loss.hard_ratio": Float(1.0, 10.0, when={"loss.objective": _MINED}),  # paper: 3
        "loss.negative_weight": Float(0.3, 3.0, log=True),  # paper: 1
        "loss.box_weight": Float(0.02, 2.0, log=True),  # paper: 0.2
        "loss.transform_on_negatives": Choice(False, True),  # paper: False
        "targets.positive_iou": Float(0.4, 0.7),  # paper: 0.5
        "targets.negative_iou": Float(0.05, 0.35),  # paper: 0.1
        "targets.remap": Choice(True, False),  # paper: True
        "targets.remap_positive_iou": Float(0.51, 0.85, when={"targets.remap": True}),  # paper: 0.8
        "targets.remap_negative_iou": Float(0.2, 0.5, when={"targets.remap": True}),  # paper: 0.4
        "optim.backbone_lr": Float(1e-6, 3e-4, log=True),  # adam
        "optim.transform_lr": Float(1e-4, 3e-3, log=True),  # adam
        "optim.weight_decay": Float(1e-6, 1e-3, log=True),  # paper: 1e-4
        "optim.freeze_transform_bn": Choice(True, False),
        "patch.scale_jitter": Float(0.5, 1.0),  # paper: 0.7
        "patch.aspect_jitter": Float(0.7, 1.0),  # paper: 0.9
        "patch.colour": Choice(False, True),
    }
)

# Geometry: these also change the untrained detector; with -s steps=0 a trial is one evaluation.
GEOMETRY = Space(
    {
        "model.sampling": Choice("exact", "reference"),  # paper: reference
        "model.transform": Choice("affine4", "affine6", "affine6_inverse", "identity"),  # paper: affine4 (V1)
        "model.anchor_aspect": Choice("class", "square"),  # paper: square
        "model.grid_size": Int(7, 15, step=2),  # paper: 15; odd
        "model.pool_border": Choice(0, 1),  # paper: 2 of 15; more does not fit into 7
        "inference.pyramid": Choice(1, 3, 5, 7),  # paper: 7
        "inference.class_views": Choice("none", "horflip"),  # paper: none; costs 1 and 2
        "targets.remap_after": Float(0.0, 0.5, when={"model.transform": _MOVES}),
    }
)
