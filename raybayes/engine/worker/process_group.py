"""The processes that train one run together: a single one, or several joined by torch.distributed."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class ProcessGroup(Protocol):
    """The workers of one run. Every method must be called on all ranks, in the same order."""

    rank: int
    size: int

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank."""
        ...

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over ranks."""
        ...

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as all ranks train it together."""
        ...


class SingleProcessGroup:
    """A group of one."""

    rank = 0
    size = 1

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def wrap(self, model: nn.Module) -> nn.Module:
        return model


class TorchProcessGroup:
    """The default process group of torch.distributed.

    Args:
        device: of this rank's tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size, self.device = dist.get_rank(), dist.get_world_size(), device
        # Python objects travel over gloo: NCCL would need them on a GPU.
        self._objects: Any = dist.new_group(backend="gloo") if dist.get_backend() == "nccl" else None

    def broadcast(self, value: Any) -> Any:
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._objects)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        boxes: list[Any] = [None] * self.size
        dist.all_gather_object(boxes, value, group=self._objects)
        return boxes

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def wrap(self, model: nn.Module) -> nn.Module:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        return DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)
