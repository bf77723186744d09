"""Where to search for ensembles: the method first, then only what that method reads.

SPACE fits 2,000 MNIST images on a processor (seconds a network); the ensemble size is fixed, because a search over it
would always end at its upper bound. `-s members=8` sets another size, `-s method=snapshot` searches one method alone.
"""

from raybayes.space import Choice, Float, Int, Space

# Methods that train with `lr`, `momentum` and the step schedule.
_ORDINARY = ("single", "deep_ensemble")

SPACE = Space(
    {
        "method": Choice("deep_ensemble", "single", "snapshot"),
        "wd": Float(1e-5, 1e-2, log=True),  # the paper's values 1e-4 to 5e-4 inside; up to 1e-2 for few images
        "batch": Choice(32, 64, 128),  # paper: 64 and 128; 32 for few images
        "augment": Choice(True, False),  # decides between ensembling and regularisation on few images
        "lr": Float(5e-3, 0.3, log=True, when={"method": _ORDINARY}),  # a decade around the paper's 0.05 and 0.1
        "momentum": Choice(0.9, 0.0, 0.95, when={"method": _ORDINARY}),  # paper: 0.9
        "sse.max_lr": Float(0.02, 1.0, log=True, when={"method": "snapshot"}),  # paper: 0.2 on CIFAR, 0.1 on ImageNet
        "sse.cycle_epochs": Int(3, 20, log=True, when={"method": "snapshot"}),  # paper: 40; 5 take a second
        "sse.momentum": Choice(0.0, 0.9, when={"method": "snapshot"}),  # paper: 0 on CIFAR, 0.9 on ImageNet
        "sse.cold_restarts": Choice(False, True, when={"method": "snapshot"}),  # True: independent starts
        "sse.skip_cycles": Int(0, 3, when={"method": "snapshot"}),  # early snapshots are worse than late ones
    }
)
