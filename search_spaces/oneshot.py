from raybayes.space import Float, Space
SPACE = Space({"optim.transform_lr": Float(1e-4, 3e-3, log=True)})
