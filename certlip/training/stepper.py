"""One step of training: the loss of a batch, its gradient, Adam."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from certlip.training.average import Average
from certlip.training.batches import Batches
from certlip.training.forward import in_training
from certlip.training.group import Group, flat
from certlip.training.settings import Settings


class Stepper:
    """The optimizer of a run and what it needs.

    Args:
        penalty: What is added to the loss of every step, a function of the weights alone.
        compiled: Whether the module is compiled.

    Raises:
        InputError, UnsupportedError: as `in_training`.
    """

    def __init__(
        self,
        module: nn.Module,
        batches: Batches,
        settings: Settings,
        group: Group,
        penalty: Callable[[], Tensor] | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        self.module, self.batches, self.settings, self.group = module, batches, settings, group
        self.penalty = penalty
        self.called = in_training(module, settings.precision, compiled)
        self.weights = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.weights, lr=settings.lr, betas=settings.betas)
        self.average = Average(module, settings.ema)

    def step(self, epoch: int, step: int, stop: bool = False) -> tuple[Tensor, bool]:
        """The mean loss of the batch before the step, and whether any process said `stop`."""
        s, steps = self.settings, self.batches.steps
        done = epoch * steps + step
        for group in self.optimizer.param_groups:
            group["lr"] = s.lr * s.schedule((done + 1) / (s.epochs * steps))
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(epoch, step, done / (s.epochs * steps))
        loss, stop = self._shared(loss, stop)
        if s.clip:
            nn.utils.clip_grad_norm_(self.weights, s.clip)
        self.optimizer.step()
        self.average.update()
        return loss, stop

    def _backward(self, epoch: int, step: int, share: float) -> Tensor:
        """This process's part of the mean loss; its gradient is added to that of the weights."""
        size = self.batches.size(step)
        total = torch.zeros((), dtype=self.batches.dtype, device=self.batches.device)
        x, label = self.batches.batch(epoch, step, self.group.share_of(size))
        parts = min(self.settings.accumulate, len(label))
        for rows in torch.arange(len(label)).chunk(parts) if parts else ():
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            loss = self.settings.loss(self.called, x[part], label[part], share)
            loss = loss * (len(rows) / size)
            loss.backward()
            total += loss.detach()
        if self.penalty is not None and self.group.first:
            penalty = self.penalty()
            penalty.backward()
            total += penalty.detach()
        return total

    def _shared(self, loss: Tensor, stop: bool) -> tuple[Tensor, bool]:
        """Loss, gradient and wish to stop, summed over all processes."""
        if self.group.world == 1:
            return loss, stop
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        grads = [weight.grad for weight in self.weights if weight.grad is not None]
        values = flat([*grads, torch.stack([loss, torch.full_like(loss, stop)])])
        self.group.sum(values)
        parts = values.split([g.numel() for g in grads] + [2])
        for grad, part in zip(grads, parts, strict=False):
            grad.copy_(part.reshape(grad.shape))
        return parts[-1][0], bool(parts[-1][1] > 0.0)
