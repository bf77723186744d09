"""Search spaces of the parabola."""

from raybayes.space import Choice, Float, Int, Space

SPACE = Space(
    {
        "lr": Float(1e-3, 1.0, log=True),  # above 1 the iteration diverges
        "method": Choice("plain", "momentum"),
        "momentum.beta": Float(0.1, 0.95, when={"method": "momentum"}),
    }
)
GRID = Space({"lr": Choice(0.1, 0.2, 0.3), "steps": Int(2, 4, step=2)})
WRONG = Space({"learning_rate": Float(0.1, 1.0)})
