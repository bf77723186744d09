"""Search spaces of ensembles: the method first, then only the parameters of that method.

SPACE fits 2,000 MNIST images on a processor (seconds per network); NEWER has the methods published after the paper;
PAPER has the ranges for CIFAR on a GPU; BUDGET divides a fixed training time; PARETO trades quality against training
time; POST_HOC searches without repeating the training; PAPER_SMALL repeats the paper's study on a small scale.
The ensemble size is fixed, except in BUDGET and PARETO: a search for the best CLL would end at its upper bound.
`-s members=8` sets another size, `-s method=swag` searches a single method.
"""

from raybayes.space import Choice, Float, Int, Parameter, Space

# Methods whose training, or its first stage, has `lr` and `momentum`.
_ORDINARY = ("single", "deep_ensemble", "fge", "swag", "mc_dropout", "vi", "laplace")

SPACE = Space(
    {
        "method": Choice(
            "deep_ensemble",
            "single",
            "snapshot",
            "csgld",
            "fge",
            "swag",
            "mc_dropout",
            "vi",
            "laplace",  # the paper's
        ),
        "wd": Float(1e-5, 1e-2, log=True),  # the paper's 1e-4 to 5e-4 inside; up to 1e-2 for few images
        "batch": Choice(32, 64, 128),  # paper: 64 and 128; 32 for few images
        "lr": Float(5e-3, 0.3, log=True, when={"method": _ORDINARY}),  # around the paper's 0.05 and 0.1
        "momentum": Choice(0.9, 0.0, 0.95, when={"method": _ORDINARY}),  # paper: 0.9
        "sse.max_lr": Float(0.02, 1.0, log=True, when={"method": "snapshot"}),  # paper: 0.2 on CIFAR, 0.1 on ImageNet
        "sse.cycle_epochs": Int(3, 20, log=True, when={"method": "snapshot"}),  # paper: 40; 5 epochs take a second
        "sse.momentum": Choice(0.0, 0.9, when={"method": "snapshot"}),  # paper: 0 on CIFAR, 0.9 on ImageNet
        "sse.cold_restarts": Choice(False, True, when={"method": "snapshot"}),  # True: independent starts
        "sse.skip_cycles": Int(0, 3, when={"method": "snapshot"}),  # early snapshots are worse than late ones
        "csgld.max_lr": Float(0.02, 0.5, log=True, when={"method": "csgld"}),  # paper: 0.5 with batch normalisation
        "csgld.cycle_epochs": Int(8, 20, log=True, when={"method": "csgld"}),  # paper: 50; at least noise_epochs
        "csgld.samples": Choice(1, 3, 5, when={"method": "csgld"}),  # paper: 3; at most noise_epochs
        "csgld.noise_epochs": Int(5, 8, when={"method": "csgld"}),  # paper: 3 of 50; csgmcmc: 5
        "csgld.temperature": Float(1e-3, 1.0, log=True, when={"method": "csgld"}),  # 1 = Bayes; paper: 0.082
        "csgld.momentum": Choice(0.0, 0.9, when={"method": "csgld"}),  # paper: 0; 0.9 is SGHMC
        "fge.pretrain": Float(0.5, 1.0, when={"method": "fge"}),  # paper: 160 of 300 epochs
        "fge.cycle_epochs": Choice(2, 4, 6, 8, when={"method": "fge"}),  # paper: 2 and 4; even numbers only
        "fge.max_lr": Float(1e-3, 0.2, log=True, when={"method": "fge"}),  # paper: 0.01 and 0.05
        "fge.ratio": Float(1e-3, 0.2, log=True, when={"method": "fge"}),  # paper: 0.01 and 0.05; below 1, so a2 < a1
        "swag.lr": Float(1e-3, 0.2, log=True, when={"method": "swag"}),  # paper: 0.01 and 0.05
        "swag.start": Float(0.4, 0.75, when={"method": "swag"}),  # paper: 160 of 300; leaves 10 of 40 epochs to collect
        "swag.rank": Int(5, 10, when={"method": "swag"}),  # paper: 20; at most the collected weights
        "swag.scale": Float(0.05, 2.0, log=True, when={"method": "swag"}),  # paper: 0.5
        "swag.diag_only": Choice(False, True, when={"method": "swag"}),  # paper: False
        "dropout.p": Float(0.05, 0.6, when={"method": "mc_dropout"}),  # paper: 0.3 and 0.5
        "dropout.placement": Choice("own", "every", when={"method": "mc_dropout"}),  # "every" did better on WRN-28-10
        "dropout.filterwise": Choice(False, True, when={"method": "mc_dropout"}),  # likewise
        "vi.beta": Float(1e-6, 1.0, log=True, when={"method": "vi"}),  # paper: 1e-5 to 1e-3; 1 = the evidence bound
        "vi.log_sigma": Float(-8.0, -2.0, when={"method": "vi"}),  # paper: -6 and -5
        "vi.lr_mean": Float(1e-4, 1e-1, log=True, when={"method": "vi"}),  # paper: 1e-3 and 1e-2
        "vi.lr_sigma": Float(1e-4, 1e-2, log=True, when={"method": "vi"}),  # paper: 1e-3
        "vi.warmup_epochs": Int(0, 10, when={"method": "vi"}),  # paper: none
        "vi.init": Choice("pretrained", "scratch", when={"method": "vi"}),  # paper: pretrained
        "laplace.prior": Float(1e-3, 1e3, log=True, when={"method": "laplace"}),  # paper: 1; the scale is fitted
        "laplace.structure": Choice("kron", "diag", when={"method": "laplace"}),  # paper: kron
        "laplace.subset": Choice("all", "last", when={"method": "laplace"}),  # paper: all
    }
)

NEWER = Space(
    {
        "method": Choice(
            "deep_ensemble", "batch_ensemble", "packed", "mimo", "checkpoint", "last_layer_laplace", "swa"
        ),
        "wd": Float(1e-5, 1e-2, log=True),  # as in SPACE
        "batch": Choice(32, 64, 128),  # as in SPACE
        "lr": Float(5e-3, 0.3, log=True),  # as in SPACE
        "checkpoint.every": Int(1, 4, when={"method": "checkpoint"}),  # 4 members within the last 12 of 20 epochs
        "batch_ensemble.init": Choice("sign", "normal", when={"method": "batch_ensemble"}),  # both are in its paper
        "batch_ensemble.sign_probability": Float(
            0.25,
            0.75,
            when={"method": "batch_ensemble", "batch_ensemble.init": "sign"},  # uncertainty-baselines
        ),
        "packed.alpha": Choice(1.0, 2.0, 3.0, 4.0, when={"method": "packed"}),  # its paper: 2 to 4
        "packed.gamma": Choice(1, 2, 4, when={"method": "packed"}),  # its paper: 1 and 2
        "mimo.input_repetition": Float(0.0, 0.6, when={"method": "mimo"}),  # its paper: 0 to 0.6
        "mimo.batch_repetition": Choice(1, 2, 4, when={"method": "mimo"}),  # its paper: 1 to 4
        "last_layer.predict": Choice("mc", "probit", when={"method": "last_layer_laplace"}),
        "swag.lr": Float(1e-3, 0.2, log=True, when={"method": "swa"}),  # as in SPACE
        "swag.start": Float(0.4, 0.9, when={"method": "swa"}),  # SWA paper: 0.5 and 0.75
    }
)


def _paper() -> dict[str, Parameter]:
    """SPACE with the ranges that need a GPU."""
    table: dict[str, Parameter] = {name: SPACE[name] for name in SPACE}
    table["batch"] = Choice(128, 64, 256)
    table["epochs"] = Choice(300)  # paper: 300 and 400
    table["swag.epochs"] = Choice(300, when={"method": "swag"})  # paper: 300
    table["vi.epochs"] = Choice(100, when={"method": "vi"})  # paper: 100
    table["sse.cycle_epochs"] = Int(5, 60, log=True, when={"method": "snapshot"})
    table["csgld.max_lr"] = Float(0.05, 1.0, log=True, when={"method": "csgld"})
    table["csgld.cycle_epochs"] = Int(10, 80, log=True, when={"method": "csgld"})
    table["csgld.noise_epochs"] = Int(5, 10, when={"method": "csgld"})
    table["swag.start"] = Float(0.4, 0.85, when={"method": "swag"})
    table["swag.rank"] = Int(5, 40, when={"method": "swag"})
    return table


# raybayes sweep ensembles --space PAPER -s dataset=cifar10-original -s arch=wrn28x10
PAPER = Space(_paper())

# Divides a budget of 160 epochs (8 networks of 20) between the number of members and their training.
BUDGET = Space(
    {
        "method": Choice("deep_ensemble", "snapshot"),
        "budget_epochs": Choice(160),
        "members": Int(1, 16, log=True),  # 10 epochs each at the upper end
        "wd": Float(1e-5, 1e-2, log=True),  # as in SPACE
        "lr": Float(5e-3, 0.3, log=True, when={"method": "deep_ensemble"}),  # as in SPACE
        "sse.max_lr": Float(0.02, 1.0, log=True, when={"method": "snapshot"}),  # as in SPACE
    }
)

# Quality against training cost, with a free ensemble size; two objectives, a Pareto front:
#   raybayes sweep ensembles --space PARETO --objective cll,cost_epochs --sampler nsga2
PARETO = Space(
    {
        "method": Choice("deep_ensemble", "snapshot", "fge", "swag"),
        "members": Int(1, 16, log=True),  # curves up to K = 100 flatten within the first 10
        "epochs": Int(5, 40, log=True, when={"method": ("deep_ensemble", "fge")}),  # 20 in PAPER_SMALL
        "sse.cycle_epochs": Int(2, 20, log=True, when={"method": "snapshot"}),  # 5 in PAPER_SMALL
        "fge.cycle_epochs": Choice(2, 4, when={"method": "fge"}),  # paper: 2 and 4
        "swag.epochs": Int(20, 60, when={"method": "swag"}),  # half of them collect, so at least the rank of 5
        "swag.rank": Choice(5, when={"method": "swag"}),  # paper: 20 of 140 collected
    }
)

# Only the steps after the training: all trials of a method reuse the network that the first of them trains.
POST_HOC = Space(
    {
        "method": Choice("swag", "laplace", "last_layer_laplace"),
        "reuse_pretrained": Choice(True),
        "training_seed": Choice(0),  # shared by all trials and repeats
        "swag.scale": Float(0.05, 2.0, log=True, when={"method": "swag"}),  # paper: 0.5
        "laplace.scale": Float(1e-2, 10.0, log=True, when={"method": "laplace"}),  # paper: the best of 25 in this range
        "laplace.prior": Float(1e-3, 1e3, log=True, when={"method": "laplace"}),  # paper: 1
        "laplace.structure": Choice("kron", "diag", when={"method": "laplace"}),  # paper: kron
        "laplace.subset": Choice("all", "last", when={"method": "laplace"}),  # paper: all
        "last_layer.delta": Float(1e-3, 1e3, log=True, when={"method": "last_layer_laplace"}),  # its paper: tuned
    }
)

# The study on a small scale: every method once, on 2,000 MNIST images, with 1 to 40 s per run on one core.
#   raybayes sweep ensembles --space PAPER_SMALL --sampler grid --trials 16 --repeats 3
#   ... -s dataset=mnist -s foreign=letters    the whole test set, and detection of letters among digits
PAPER_SMALL = Space(
    {
        "method": Choice(
            "deep_ensemble",
            "single",
            "snapshot",
            "csgld",
            "fge",
            "swag",
            "mc_dropout",
            "vi",
            "laplace",  # the paper's
            "checkpoint",
            "swa",
            "last_layer_laplace",
            "batch_ensemble",
            "packed",
            "mimo",
        ),
        "tta": Choice(False, True, when={"method": "single"}),  # one network with K augmentation draws
        "members": Choice(8),  # curves up to K = 100 flatten within the first 8
        "train_images": Choice(2000),
        "validation": Choice(0.05),  # 100 images, which only choose the scale of a Laplace approximation
        "epochs": Choice(40, when={"method": "mc_dropout"}),  # dropout slows training; 20 for all others
    }
)
