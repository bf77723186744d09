"""The weights of several networks in one block of memory, and their SGD; networks and optimisers share that memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.ensembles.fused.forward import Engine, forward_of


class SideBySide:
    """G networks whose parameters lie in one tensor, and one step of SGD for all of them.

    The tensor contains the first parameter of all networks, then the second, ...; each network's own parameters, and
    the momentum in its optimiser, become views of it. So a network trained here predicts, saves and loads as usual.

    Args:
        models: networks of one architecture, without buffers.
        optimizers: their `torch.optim.SGD`, one each, with their momentum and weight decay.
        engine: "vmap" or "grouped".
        factors: of each network's learning rate; None for 1.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        optimizers: Sequence[torch.optim.Optimizer],
        engine: Engine,
        factors: Sequence[float] | None = None,
    ) -> None:
        self.forward = forward_of(models[0], engine)
        momenta = [float(optimizer.param_groups[0]["momentum"]) for optimizer in optimizers]
        self.sizes = [parameter.numel() for parameter in models[0].parameters()]
        own = [list(model.parameters()) for model in models]
        histories = [[o.state[p] for p in mine] for o, mine in zip(optimizers, own, strict=True)]
        self.flat = torch.cat([p.detach().flatten() for column in zip(*own, strict=True) for p in column])
        self.velocity = torch.zeros_like(self.flat)
        self.weights: dict[str, Tensor] = {}
        self.velocities: list[Tensor] = []  # views, one per weight
        start = 0
        for position, (name, first) in enumerate(models[0].named_parameters()):
            end, shape = start + len(models) * first.numel(), (len(models), *first.shape)
            self.weights[name] = self.flat[start:end].view(shape).requires_grad_()  # a leaf in the block's memory
            rows, history_rows = self.flat[start:end].view(shape), self.velocity[start:end].view(shape)
            self.velocities.append(history_rows)
            for row, (parameters, history) in enumerate(zip(own, histories, strict=True)):
                parameters[position].data = rows[row]
                if momenta[row]:
                    if (before := history[position].get("momentum_buffer")) is not None:
                        history_rows[row].copy_(before)
                    history[position]["momentum_buffer"] = history_rows[row]
            start = end
        self.decay = self._spread([float(o.param_groups[0]["weight_decay"]) for o in optimizers])
        self.momentum = self._spread(momenta)
        self.factors = list(factors or [1.0] * len(models))
        self.factor = self._spread(self.factors)
        self.pace: tuple[list[float], float | Tensor] = [], 0.0  # the newest unequal rates, spread over the block

    def _spread(self, values: Sequence[float]) -> float | Tensor:
        """One number per network as one number per entry of the block; the number itself if all are equal."""
        if len(set(values)) == 1:
            return values[0]
        column = torch.tensor(values, dtype=self.flat.dtype, device=self.flat.device)
        return torch.cat([column.repeat_interleave(size) for size in self.sizes])

    def _paced(self, rates: Sequence[float]) -> float | Tensor:
        """Unequal learning rates times each network's factor, spread over the block; most stay for a whole epoch."""
        if self.pace[0] != list(rates):
            own = [factor * rate for factor, rate in zip(self.factors, rates, strict=True)]
            self.pace = list(rates), self._spread(own)
        return self.pace[1]

    def step(self, images: Tensor, labels: Tensor, rates: Sequence[float]) -> None:
        """One step of SGD of every network on its own batch.

        Args:
            images: (G, B, channels, height, width), augmented and normalised.
            labels: (G, B).
            rates: each network's learning rate, before its factor.
        """
        logits = self.forward(self.weights, images)
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
        gradients = torch.autograd.grad(loss, list(self.weights.values()))
        with torch.no_grad():
            # A first step from zero velocity is v = g, as in torch.optim.SGD, which starts without a velocity.
            self.velocity.mul_(self.momentum)
            for part, gradient in zip(self.velocities, gradients, strict=True):
                part.add_(gradient)
            if isinstance(self.decay, Tensor):
                self.velocity.addcmul_(self.flat, self.decay)
            else:
                self.velocity.add_(self.flat, alpha=self.decay)
            if len(set(rates)) == 1:
                self._move(self.factor, rates[0])
            else:
                self._move(self._paced(rates), 1.0)

    def _move(self, factor: float | Tensor, rate: float) -> None:
        if isinstance(factor, Tensor):
            self.flat.addcmul_(self.velocity, factor, value=-rate)
        else:
            self.flat.add_(self.velocity, alpha=-rate * factor)
