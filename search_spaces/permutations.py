"""Search spaces of control-variate settings, always at a fixed number of cost evaluations.

A configuration that draws more samples per update gets fewer updates: all trials share `evaluations` (50,000 by
default). Stop trials late: RELAX overtakes a moving-average baseline on the toy only after about 25,000 evaluations.
"""

from raybayes.space import Choice, Float, Int, Space

_CONTROL = ("rebar", "relax", "relax_centred")
_LEARNT_ETA = ("rebar", "relax_centred")
_CRITIC = ("relax", "relax_centred")

SPACE = Space(
    {
        "estimator": Choice("relax", "reinforce", "reinforce_ema", "e_reinforce", "rebar", "relax_centred"),
        "lr": Float(1e-3, 0.3, log=True),  # paper: 0.01
        "samples": Choice(1, 2, 4, 8, 16, 32, 64, 128),  # paper: 1; 2021 follow-up: 3
        "lr_decay": Choice("none", "cosine"),  # paper: none
        "momentum": Float(0.8, 0.99, when={"estimator": ("reinforce_ema", "relax_centred")}),
        "critic.lr": Float(1e-3, 0.1, log=True, when={"estimator": _CONTROL}),  # paper: 0.01
        "critic.tau": Float(0.1, 10.0, log=True, when={"estimator": _CONTROL}),  # paper: 1
        "critic.learn_tau": Choice(True, False, when={"estimator": _CONTROL}),  # paper: True
        "critic.eta": Float(0.1, 5.0, when={"estimator": _LEARNT_ETA}),  # learnt optimum: 3-5, centred 0.3-0.9
        "critic.learn_eta": Choice(True, False, when={"estimator": _LEARNT_ETA}),  # paper: True
        "critic.relaxation": Choice("neuralsort", "softsort", when={"estimator": _CONTROL}),  # paper: neuralsort
        "critic.width": Choice(32, 0, 16, 64, 128, when={"estimator": _CRITIC}),  # paper: 32
        "critic.depth": Choice(1, 2, when={"estimator": _CRITIC}),  # paper: 1
        "critic.activation": Choice("relu", "tanh", when={"estimator": _CRITIC}),  # paper: relu
        "critic.updates": Choice(1, 2, 5, when={"estimator": _CONTROL}),  # paper: 1; each spends evaluations
        "critic.warmup": Int(0, 200, step=50, when={"estimator": _CONTROL}),  # paper: 0
    }
)

# Leave-one-out baselines need at least two samples, so this family has a space of its own.
LEAVE_ONE_OUT = Space(
    {
        "estimator": Choice("rloo", "e_reinforce_plus", "relax_centred"),
        "critic.centring": Choice("loo", when={"estimator": "relax_centred"}),
        "lr": Float(1e-3, 0.3, log=True),
        "samples": Choice(2, 4, 8, 16, 32, 64, 128),
        "lr_decay": Choice("none", "cosine"),
        "scale_by_std": Choice(False, True, when={"estimator": ("rloo", "e_reinforce_plus")}),  # True: O(1/N) bias
        "critic.lr": Float(1e-3, 0.1, log=True, when={"estimator": "relax_centred"}),
        "critic.eta": Float(0.1, 5.0, when={"estimator": "relax_centred"}),
    }
)

# The paper's figure (--sampler grid --trials 12): its four estimators at its settings, and those with a baseline, which
# it left out. Leave-one-out estimators draw K samples per update, hence make 1/K of the updates.
PAPER_TOY = Space(
    {
        "estimator": Choice(
            "relax",
            "exact",
            "reinforce",
            "rebar",
            "reinforce_ema",
            "rloo",
            "rebar_centred",
            "relax_centred",
            "e_reinforce",
            "e_reinforce_plus",
        ),
        "samples": Choice(2, 10, when={"estimator": ("rloo", "e_reinforce_plus")}),
    }
)
