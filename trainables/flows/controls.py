"""Controls that use only the labelled examples: logistic regression and the nearest neighbour, on raw features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainables.flows.data.examples import Examples


def raw_features(raw: Tensor) -> Tensor:
    """(n, features) float32; brightness values to [0, 1]."""
    return raw.flatten(1).float() / (255 if raw.dtype == torch.uint8 else 1)


def logistic_regression(x: Tensor, labels: Tensor, classes: int, penalty: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weights (classes, d) and biases (classes,) that minimise the summed cross-entropy + penalty/2 |weights|^2.

    Multinomial, biases free: what scikit-learn's LogisticRegression(C=1/penalty) minimises.
    """
    x = x.double()
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, device=x.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=500, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        with torch.enable_grad():
            value = functional.cross_entropy(x @ weight.T + bias, labels, reduction="sum")
            value = value + penalty / 2 * weight.square().sum()
            value.backward()
        return value

    optimiser.step(closure)
    return weight.detach(), bias.detach()


def nearest_label(x: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The label of the nearest x (Euclidean) of each query."""
    return torch.cat([labels[torch.cdist(part, x).argmin(1)] for part in queries.split(2000)])


def control_errors(labelled: Examples, test: Examples, classes: int) -> dict[str, float]:
    """Test errors of both controls, trained on the labelled examples."""
    x, queries = raw_features(labelled.raw), raw_features(test.raw)
    weight, bias = logistic_regression(x, labelled.labels, classes)
    guesses = {
        "logreg_error": (queries.double() @ weight.T + bias).argmax(1),
        "nn_error": nearest_label(x, labelled.labels, queries),
    }
    return {name: float((guess != test.labels).double().mean()) for name, guess in guesses.items()}
