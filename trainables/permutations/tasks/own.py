"""A user's own cost: a function in a Python file, of rows of orders or of one order."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from raybayes.errors import DataError, TrialError
from trainables.permutations.tasks.problem import Problem

PROBES = 5  # orders that a cost is tried on before anything starts
Form = Literal["tensor", "array", "one"]


def load_function(where: str, setting: str) -> Callable[[Any], Any]:
    """The function `name` of a file, given as file.py:name.

    Raises:
        DataError: no such file or function, or the file raises as it is imported.
    """
    file, colon, name = where.rpartition(":")
    path = Path(file).expanduser().absolute()
    if not colon or not name or path.suffix != ".py":
        raise DataError(f"found {setting} = {where}; give a Python file and a function in it: {setting}=my.py:name.")
    if not path.is_file():
        raise DataError(f"found {setting} = {where}; there is no file {path}.")
    module_name = f"raybayes_own_{abs(hash(str(path)))}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise DataError(f"{path} raises as it is imported ({type(error).__name__}: {error}).") from error
    finally:
        sys.path.remove(str(path.parent))
    function = getattr(module, name, None)
    if not callable(function):
        offered = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise DataError(f"{path} has no function {name}; it has {', '.join(offered) or 'none'}.")
    return function  # type: ignore[no-any-return]


class OwnCost:
    """A user's function as a cost. It gets orders as rows of a tensor or of an array, or one order at a time.

    Args:
        function: maps rows (m, n) to m numbers, or one order (a tuple of int) to one number.
        repeats: how often each order is evaluated; its cost is the mean.
        name: for messages.

    Raises:
        DataError: it returns neither, or not the same for equal orders.
    """

    rowwise = True

    def __init__(self, function: Callable[[Any], Any], n: int, repeats: int, name: str) -> None:
        self.n, self._function, self._repeats, self._name = n, function, repeats, name
        count = PROBES if n != PROBES else PROBES + 1
        rows = torch.stack([torch.randperm(n, generator=torch.Generator().manual_seed(i)) for i in range(count)])
        self._form = self._fitting(rows)
        self._require_same(rows)

    def _fitting(self, rows: Tensor) -> Form:
        failures = []
        forms: tuple[Form, ...] = ("tensor", "array", "one")
        for form in forms:
            try:
                values = self._once(form, rows)
                alone = torch.cat([self._once(form, row[None]) for row in rows])
                if form == "one" or self._repeats > 1 or torch.allclose(alone, values, rtol=1e-6, equal_nan=True):
                    return form
                failures.append("another cost for an order alone than beside others")
                if self._is_random(form, rows):
                    return form
            except Exception as error:  # whatever a user's function raises
                failures.append(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        raise DataError(
            f"{self._name} is no cost of {self.n} items: it must map rows of orders (m, {self.n}) to m numbers, or one"
            f" order to one number. Tried with a tensor, an array and one order, found: {'; '.join(failures)}."
        )

    def _is_random(self, form: Form, rows: Tensor) -> bool:
        return not torch.allclose(self._once(form, rows), self._once(form, rows), rtol=1e-6, equal_nan=True)

    def _require_same(self, rows: Tensor) -> None:
        if self._repeats == 1 and self._is_random(self._form, rows):
            one, two = (float(self._once(self._form, rows[:1])) for _ in range(2))
            raise DataError(
                f"{self._name} gives different costs for the order {rows[0].tolist()} ({one:g}, then {two:g}): it is"
                f" random. Set repeats = 10, say, to minimise the mean of 10 evaluations of each order."
            )
        values = self(rows.unsqueeze(0))[0]
        if not torch.isfinite(values).all():
            at = int((~torch.isfinite(values)).nonzero()[0])
            raise DataError(
                f"{self._name} gives {float(values[at])} for the order {rows[at].tolist()}; costs must be finite: give"
                f" forbidden orders a large cost."
            )

    def _once(self, form: Form, rows: Tensor) -> Tensor:
        if form == "one":
            return torch.tensor([float(self._function(tuple(row))) for row in rows.tolist()], dtype=torch.float64)
        answer = self._function(rows.clone() if form == "tensor" else rows.numpy().copy())
        values = torch.as_tensor(answer, dtype=torch.float64).detach().cpu()
        if values.shape != rows.shape[:1]:
            raise TrialError(f"shape {tuple(values.shape)} for {len(rows)} orders")
        return values

    def __call__(self, order: Tensor) -> Tensor:
        rows = order.reshape(-1, self.n).cpu()
        total = sum((self._once(self._form, rows) for _ in range(self._repeats)), torch.zeros(len(rows)).double())
        return (total / self._repeats).reshape(order.shape[:-1]).to(order.device)


class SoftOwnCost(OwnCost):
    """With a user's extension to soft permutation matrices (m, n, n), differentiated by torch.

    Args:
        soft: maps matrices, row k the item at place k, to m numbers; on permutation matrices the cost itself.
    """

    def __init__(
        self, function: Callable[[Any], Any], soft: Callable[[Any], Any], n: int, repeats: int, name: str
    ) -> None:
        super().__init__(function, n, repeats, name)
        self._soft = soft
        orders = torch.stack([torch.randperm(n, generator=torch.Generator().manual_seed(i)) for i in range(PROBES)])
        hard, value = self(orders), self._value(torch.eye(n, dtype=torch.float64)[orders])
        if repeats == 1 and not torch.allclose(hard, value.detach().double(), rtol=1e-4, atol=1e-6):
            raise DataError(
                f"the soft cost of the order {orders[0].tolist()} is {float(value[0]):g} and its cost"
                f" {float(hard[0]):g}; on permutation matrices (row k the item at place k) both must agree."
            )

    def _value(self, matrix: Tensor) -> Tensor:
        flat = matrix.reshape(-1, self.n, self.n)
        value = self._soft(flat)
        if not isinstance(value, Tensor) or value.shape != flat.shape[:1]:
            found = tuple(value.shape) if hasattr(value, "shape") else type(value).__name__
            raise DataError(f"the soft cost returned {found} for {len(flat)} matrices; it must return a tensor of"
                            f" shape ({len(flat)},).")  # fmt: skip
        return value.reshape(matrix.shape[:-2])

    def relaxed(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = matrix.detach().requires_grad_()
            value = self._value(leaf)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient

    def bend(self, matrix: Tensor, direction: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = matrix.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._value(leaf).sum(), leaf, create_graph=True)
            if not gradient.requires_grad:
                return torch.zeros_like(direction)
            (bent,) = torch.autograd.grad((gradient * direction).sum(), leaf, allow_unused=True)
        return torch.zeros_like(direction) if bent is None else bent


class Own(Problem):
    """A user's cost for `runs` runs."""

    def __init__(self, cost: OwnCost, runs: int, restarts: int, like: Tensor) -> None:
        self.cost, self.n, self.rows, self.restarts, self.device = cost, cost.n, runs * restarts, restarts, like.device


def own_cost(cost: str, soft: str | None, items: int, repeats: int) -> OwnCost:
    """The cost that a configuration names, tried on a few orders.

    Raises:
        DataError: see `load_function` and `OwnCost`.
    """
    function = load_function(cost, "cost")
    if soft is None:
        return OwnCost(function, items, repeats, cost)
    return SoftOwnCost(function, load_function(soft, "soft"), items, repeats, cost)
