"""Search spaces of cost-sensitive training: the method first, then only the values that it uses.

The objective is the task's metric on validation, never the loss: different losses are not comparable. With
`-s cpu_seconds=60` every trial gets the same processor time, however many roll-outs it makes.
"""

from raybayes.space import Choice, Float, Int, Space

_SEARNN = {"method": "searnn"}
_SCALED = ("kl", "llcas", "hinge", "rank-margin")  # losses in which the cost scale occurs

SPACE = Space(
    {
        "method": Choice("searnn", "mle"),  # the control is searched as hard as the method
        "lr": Float(3e-4, 5e-3, log=True),  # code: 1e-3; 2e-3 did well on characters
        "model.dropout": Float(0.0, 0.4),  # code: 0, translation 0.3
        "label_smoothing": Float(0.0, 0.4, when={"method": "mle"}),  # does as well as KL costs on OCR
        "rollin": Choice("learned", "gt", "mixed", when=_SEARNN),  # code: learned (OCR), gt (translation)
        "rollin_probability": Float(0.0, 1.0, when={**_SEARNN, "rollin": "mixed"}),  # code: 0.5
        "rollout": Choice("mixed", "learned", "reference", when=_SEARNN),  # code: mixed; reference needs no roll-outs
        "rollout_probability": Float(0.0, 1.0, when={**_SEARNN, "rollout": "mixed"}),  # code: 0.5
        "loss": Choice("ll", "kl", "llcas", "hinge", "rank-logistic", "rank-margin", "listmle", when=_SEARNN),
        "temperature": Float(1.0, 1000.0, log=True, when={**_SEARNN, "loss": _SCALED}),  # code: 1 to 200
        "list_length": Int(1, 20, log=True, when={**_SEARNN, "loss": "listmle"}),  # 1 is ll
        "transform": Choice("raw", "ranks", "best-vs-rest", when={**_SEARNN, "loss": _SCALED}),  # do values matter?
        "tokens.mode": Choice("all", "biased", "topk", when=_SEARNN),  # code: all on small vocabularies
        "tokens.k": Int(2, 20, log=True, when={**_SEARNN, "tokens.mode": ("biased", "topk")}),  # paper: about 5
    }
)

# The baselines, each with the values that it uses.
BASELINES = Space(
    {
        "method": Choice(
            "searnn",
            "mle",
            "scheduled_sampling",
            "reinforce",
            "self_critical",
            "mixer",
            "minimum_risk",
            "ocd",
        ),
        "lr": Float(3e-4, 5e-3, log=True),  # as in SPACE
        "label_smoothing": Float(0.0, 0.4, when={"method": "mle"}),  # as in SPACE
        "rollin_probability": Float(0.1, 0.9, when={"method": "scheduled_sampling"}),  # of the ground truth
        "samples": Int(2, 10, when={"method": ("reinforce", "self_critical", "minimum_risk")}),
        "sharpness": Float(5e-3, 1.0, log=True, when={"method": "minimum_risk"}),  # its paper: 5e-3
        "mixer_step": Int(1, 4, when={"method": "mixer"}),  # its paper: 2 and 3
        "warm_start": Choice(
            0,
            200,
            500,
            when={"method": ("searnn", "reinforce", "self_critical", "mixer", "minimum_risk")},
        ),  # sequence-level methods hardly learn from random weights
    }
)

# Translation and spelling with attention: subsampled cells and tokens after a start by MLE.
FINE_TUNE = Space(
    {
        "method": Choice("searnn", "mle"),
        "model.attention": Choice("dot"),
        "model.dropout": Float(0.0, 0.4),  # code: 0.3
        "lr": Float(3e-4, 5e-3, log=True),  # as in SPACE
        "label_smoothing": Float(0.0, 0.4, when={"method": "mle"}),
        "warm_start": Choice(200, 500, 700, when=_SEARNN),  # of 1,000 iterations
        "rollin": Choice("gt", "mixed", when=_SEARNN),  # code: gt
        "rollout": Choice("mixed", "reference", when=_SEARNN),  # code: mixed
        "loss": Choice("kl", "ll", "llcas", "hinge", "rank-margin", when=_SEARNN),  # code: kl
        "temperature": Float(10.0, 1000.0, log=True, when={**_SEARNN, "loss": _SCALED}),  # code: 200
        "cells": Int(5, 20, when=_SEARNN),  # code: 20
        "tokens.mode": Choice("union", when=_SEARNN),
        "tokens.top": Int(5, 20, when=_SEARNN),  # code: 15
        "tokens.reach": Int(0, 5, when=_SEARNN),  # code: 5
        "averaging": Choice("cells", "sentences"),  # code: cells
    }
)

# The paper's grid on OCR, roll-in x roll-out x loss, with MLE and label smoothing beside (--sampler grid --trials 21).
# A learned roll-in of an untrained model teaches little, hence the warm start:
#   raybayes sweep autoregressive --space PAPER_OCR --sampler grid --trials 21 --repeats 3 -s dataset=letters
#       -s cpu_seconds=60 -s warm_start=500 -s test_every_report=true
PAPER_OCR = Space(
    {
        "method": Choice("mle", "searnn"),
        "label_smoothing": Choice(0.0, 0.1, 0.3, when={"method": "mle"}),
        "rollin": Choice("gt", "learned", "mixed", when=_SEARNN),
        "rollout": Choice("reference", "learned", "mixed", when=_SEARNN),
        "loss": Choice("ll", "kl", when=_SEARNN),
    }
)

# The main claim at equal processor time, fold by fold (--sampler grid --trials 12):
#   raybayes sweep autoregressive --space OCR_FOLDS --sampler grid --trials 12 --repeats 3 -s dataset=letters
#       -s cpu_seconds=60 -s warm_start=500 -s test_every_report=true
# On unseen words: -s ocr.split=words -s ocr.fold=0 --trials 4
OCR_FOLDS = Space(
    {
        "ocr.fold": Choice(0, 1, 2),
        "method": Choice("mle", "searnn"),
        "label_smoothing": Choice(0.0, 0.2, when={"method": "mle"}),
        "loss": Choice("ll", "kl", when=_SEARNN),
    }
)
