"""What the recorded networks differ in."""

from raybayes.space import Float, Int, Space

EPOCHS = 27
SPACE = Space(
    {
        "lr": Float(1e-4, 1.0, log=True),  # from hardly moving to diverging
        "momentum": Float(0.0, 0.98),
        "batch": Int(16, 256, log=True),
        "width": Int(8, 128, log=True),  # hidden units of each of the two layers
        "weight_decay": Float(1e-6, 1e-1, log=True),
        "dropout": Float(0.0, 0.6),
    }
)
