"""The search space of the instant project: two parameters, as in the smallest search that is one."""

from raybayes.space import Float, Space

SPACE = Space(
    {
        "x": Float(-1.0, 1.0),  # both sides of the minimum at 0
        "y": Float(1e-3, 1.0, log=True),  # three decades around the minimum at 0.1
    }
)
