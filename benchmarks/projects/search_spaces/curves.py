"""The parameters of the formula: three that matter, three that do not."""

from raybayes.space import Choice, Float, Int, Space

SPACE = Space(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "weight_decay": Float(1e-6, 1e-2, log=True),
        "width": Int(16, 256, log=True),
        "method": Choice("single", "swag", "snapshot"),
        "batch": Int(32, 512, log=True),
        "dropout": Float(0.0, 0.5),
    }
)
