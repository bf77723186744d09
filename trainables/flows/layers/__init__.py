"""Invertible layers, one kind a file, and the nets inside couplings."""

from trainables.flows.layers.actnorm import ActNorm, initialising
from trainables.flows.layers.coupling import Bound, Checkerboard, Coupling, log_scale
from trainables.flows.layers.layer import Layer, LayerList, halves, log_normal
from trainables.flows.layers.mix import Mix, MixForm, MixStart
from trainables.flows.layers.reshaping import Logit, Split, Squeeze, dequantise, quantise

__all__ = [
    "ActNorm",
    "Bound",
    "Checkerboard",
    "Coupling",
    "Layer",
    "LayerList",
    "Logit",
    "Mix",
    "MixForm",
    "MixStart",
    "Split",
    "Squeeze",
    "dequantise",
    "halves",
    "initialising",
    "log_normal",
    "log_scale",
    "quantise",
]
