from raybayes.space import Choice, Float, Int, Space

SPACE = Space({"lr": Float(1e-3, 3e-2, log=True)})
