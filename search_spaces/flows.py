"""Search spaces of semi-conditional flows: depth and width of both parts, the objective, the labelled share, noise.

SPACE takes moons or circles in seconds per trial; PCA32 full MNIST in 32 principal components, under a minute per trial
on one core; MNIST16 and PAPER_MNIST100 the convolutional flows, the second on GPUs. COMPARE_* are grids, not searches
(`--sampler grid`): objectives side by side, each on several label splits. A sweep improves (error, bpd) together;
`--objective error` makes it a search for the error alone; `--constraint "gflops<=0.02"` bounds the cost of a trial.
"""

from raybayes.space import Choice, Float, Int, Parameter, Space

# The weight of an objective's term exists only under that objective.
_WEIGHTS: dict[str, Parameter] = {
    "loss.label": Float(0.3, 30.0, log=True, when={"objective": "weighted"}),  # paper: 1
    "loss.ce": Float(1.0, 300.0, log=True, when={"objective": "hybrid"}),  # paper: 0; most important in short runs
    "loss.entropy": Float(0.1, 10.0, log=True, when={"objective": "entropy"}),  # alone it can collapse to one class
    "loss.balance": Float(0.1, 30.0, log=True, when={"objective": "kl-balance"}),
    "loss.balance_entropy": Float(0.0, 3.0, when={"objective": "kl-balance"}),
}

SPACE = Space(
    {
        "objective": Choice("generative", "hybrid", "weighted", "entropy", "kl-balance"),  # paper: generative
        **_WEIGHTS,
        "trunk.kind": Choice("couplings", "identity"),  # paper's toys: couplings; identity: all in the conditional part
        "trunk.steps": Int(1, 8, when={"trunk.kind": "couplings"}),  # paper's toys: 5
        "trunk.width": Choice(64, 16, 32, 128),  # paper's toys: 64
        "head.steps": Int(1, 6),  # with trunk.steps: where the depth goes
        "head.width": Choice(64, 32, 128),
        "head.label_scale": Float(0.1, 3.0, log=True),  # 1 by default; 0.1 is about the paper's
        "labelled_share": Float(0.05, 0.5),  # paper: 1/3; interacts with the objective's weight
        "lr": Float(3e-3, 3e-2, log=True),  # toys: 5e-3 to 1e-2
        "schedule": Choice("linear", "cosine"),  # paper: linear
        "warmup": Choice(0, 50, 100),  # paper: 0
        "weight_decay": Float(1e-7, 1e-3, log=True),  # paper: 1e-5
        "clip": Float(10.0, 1000.0, log=True),  # paper: 100
        "input_noise": Float(0.0, 0.1),  # the toys' own noise is 0.1
        "bound": Choice("tanh", "sigmoid", "half"),
    }
)

# Small nets and small batches first: on a CPU, they allow the most updates.
PCA32 = Space(
    {
        "preset": Choice("pca32"),
        "dataset": Choice("mnist"),
        "steps": Choice(3000),
        "objective": Choice("hybrid"),  # generative, the paper's, keeps up only while head.label_scale is about 1
        "loss.ce": Float(3.0, 100.0, log=True),  # 10 in the preset
        "labelled_share": Float(0.08, 0.4),  # 0.15 in the preset
        "trunk.steps": Int(1, 3),  # 2 in the preset
        "trunk.width": Choice(128, 64, 96),
        "head.steps": Int(1, 3),  # 2 in the preset
        "head.width": Choice(96, 64),
        "batch": Choice(96, 64, 128),
        "lr": Float(1e-3, 8e-3, log=True),  # 3e-3 in the preset
        "input_noise": Float(0.1, 0.5),  # 0.25 in the preset; 0.3 of a feature's deviation is much
        "schedule": Choice("linear", "cosine"),
    }
)

_IMAGES: dict[str, Parameter] = {
    "trunk.checkerboards": Int(1, 4),  # paper: 3 a level
    "trunk.steps": Int(1, 4),  # paper: 2 a level
    "trunk.levels": Choice(3, 2),  # paper: 3; sets the dimensions that the conditional part sees
    "head.levels": Int(1, 2),  # paper: 2
    "head.steps": Int(1, 6),  # paper: 4
    "labelled_share": Float(0.05, 0.5),  # paper: 1/3
    "weight_decay": Float(1e-7, 1e-3, log=True),  # paper: 1e-5
    "clip": Float(10.0, 1000.0, log=True),  # paper: 100
    "crop": Int(0, 2),  # paper: 0; FlowGMM pads by 4
    "trunk.mix": Choice("lu", "dense"),  # paper: dense
    "trunk.start": Choice("eye", "orthogonal"),  # paper: eye; Glow: orthogonal
    "schedule": Choice("linear", "cosine"),  # paper: linear
}

# 16 x 16 pictures, minutes per trial on one core.
MNIST16 = Space(
    {
        "preset": Choice("cpu-16x16"),
        "dataset": Choice("mnist"),
        "objective": Choice("hybrid"),
        "loss.ce": Float(10.0, 300.0, log=True),
        "trunk.width": Choice(24, 16, 32),
        "head.width": Choice(128, 64),
        "lr": Float(1e-3, 1e-2, log=True),
        **_IMAGES,
    }
)

# The paper's experiment on GPUs: one trial is 117,500 updates of 256 images; `-s steps=20000` for a day's search.
PAPER_MNIST100 = Space(
    {
        "preset": Choice("paper"),
        "dataset": Choice("mnist"),
        "labels": Choice(100),
        "objective": Choice("generative", "hybrid", "weighted"),  # paper: generative
        "loss.label": Float(0.3, 30.0, log=True, when={"objective": "weighted"}),  # paper: 1
        "loss.ce": Float(1.0, 300.0, log=True, when={"objective": "hybrid"}),  # paper: 0
        "trunk.width": Choice(64, 16, 32),  # paper: 64; cost grows with its square
        "trunk.blocks": Choice(4, 1, 2),  # paper: 4
        "head.width": Choice(256, 64, 128),  # paper: 256
        "head.blocks": Choice(4, 1, 2),  # paper: 4
        "batch": Choice(256, 64, 128, 512),  # paper: 256
        "lr": Float(3e-4, 1e-2, log=True),  # paper: 1e-3
        "optimiser": Choice("adamax", "adam"),  # paper: adamax
        "warmup": Choice(0, 100, 500),  # paper: 0
        **_IMAGES,
    }
)

# Hybrid and generative objective, and the hybrid one on the labels alone, on three label splits.
COMPARE_PCA32 = Space(
    {
        "preset": Choice("pca32"),
        "dataset": Choice("mnist"),
        "objective": Choice("hybrid", "generative"),
        "labelled_share": Choice(0.15, 1.0, when={"objective": "hybrid"}),
        "split_seed": Choice(0, 1, 2),
    }
)
COMPARE_MNIST16 = Space(
    {
        "preset": Choice("cpu-16x16"),
        "dataset": Choice("mnist"),
        "objective": Choice("hybrid", "generative"),
        "labelled_share": Choice(0.25, 1.0, when={"objective": "hybrid"}),
        "split_seed": Choice(0, 1, 2),
    }
)

# The paper's objective with unlabelled points and without, five drawings of points and labels.
COMPARE_TOYS = Space(
    {
        "dataset": Choice("moons", "circles"),
        "labelled_share": Choice(1 / 3, 1.0),
        "split_seed": Choice(0, 1, 2, 3, 4),
    }
)
