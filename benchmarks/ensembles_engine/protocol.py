"""Scores of many ensemble sizes: raybayes' single pass beside the protocol of the paper's code, which starts anew.

The reference is written after github.com/bayesgroup/pytorch-ensembles: for each size it averages all members again, and
fits each temperature by Nelder-Mead from 1. Both sides compute the same scores on the same halves.
"""

from __future__ import annotations

import time
from collections.abc import Collection

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.protocol import SCORES, cross_validated, halves

BLOCK = 500  # objects that the reference averages at a time: all members of all objects would take gigabytes


def members(k: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Random predictions that know something of the targets: (k, n, classes) float32 log-probabilities, (n,)."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, n)
    shared = 3 * rng.normal(size=(n, classes)).astype(np.float32)
    shared[np.arange(n), targets] += 6
    lp = np.empty((k, n, classes), np.float32)
    for row in range(k):
        lp[row] = log_softmax(shared + 2 * rng.normal(size=(n, classes)).astype(np.float32), axis=1)
    return lp, targets


def one_pass(lp: np.ndarray, targets: np.ndarray, sizes: Collection[int]) -> list[float]:
    """CLL of some sizes, raybayes."""
    average, found = RunningAverage(), []
    for member in lp[: max(sizes)]:
        average.add(member)
        if average.count in sizes:
            found.append(cross_validated(average.log_probabilities(), targets).calibrated["ll"])
    return found


def anew(lp: np.ndarray, targets: np.ndarray, sizes: Collection[int]) -> list[float]:
    """CLL of some sizes, the reference's protocol."""
    found = []
    blocks = [slice(start, start + BLOCK) for start in range(0, len(targets), BLOCK)]
    for size in sizes:
        parts = [logsumexp(lp[:size, rows].astype(np.float64), axis=0) for rows in blocks]
        p = np.concatenate(parts) - np.log(size)
        folds = []
        for fit, evaluate in halves(len(targets)):
            rows = np.arange(len(fit))

            def loss(t: np.ndarray, fit: np.ndarray = fit, rows: np.ndarray = rows, p: np.ndarray = p) -> float:
                return -float(log_softmax(p[fit] / t[0], axis=1)[rows, targets[fit]].mean())

            temperature = minimize(loss, [1.0], method="Nelder-Mead").x[0]
            scaled = log_softmax(p[evaluate] / temperature, axis=1)
            values = {name: (score(p[evaluate], targets[evaluate]), score(scaled, targets[evaluate]))
                      for name, score in SCORES.items()}  # fmt: skip
            folds.append(values["ll"][1])
        found.append(float(np.mean(folds)))
    return found


def scored(side: str, k: int, n: int, classes: int, step: int) -> tuple[float, list[float]]:
    """CPU seconds for the scores of the sizes in the middle of every `step` of 1 .. k, and the CLL of each."""
    torch.set_num_threads(1)
    lp, targets = members(k, n, classes)
    sizes = range((step + 1) // 2, k + 1, step)
    began = time.process_time()
    found = (one_pass if side == "raybayes" else anew)(lp, targets, sizes)
    return time.process_time() - began, found
