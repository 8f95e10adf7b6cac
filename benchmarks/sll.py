"""The SLL network of Havens et al. 2023 on images of 3×32×32 (four convolutional layers of 8 channels with
5 hidden ones, pooling, two dense layers of 512), batches of 64 in float32, against residual layers
x + W₂ relu(W₁x + b) of the same shapes without any bound. A step is a forward pass, a backward pass and
Adam."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import best
from certlip.layers import Truncate
from certlip.models import NAMED

BATCH, CHANNELS, INNER, FEATURES, CLASSES = 64, 8, 5, 512, 10
ROUNDS = 20
Padding = Literal["circular", "zeros"]
PADDINGS: tuple[Padding, ...] = ("circular", "zeros")


class Plain(nn.Module):
    """x + second(relu(first(x)))."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def plain(padding: Padding) -> nn.Module:
    """The unconstrained network of the same shapes on flattened images."""
    conv = partial(nn.Conv2d, kernel_size=3, padding=1, padding_mode=padding)
    convs = [Plain(conv(CHANNELS, INNER), conv(INNER, CHANNELS, bias=False)) for _ in range(4)]
    dense = [
        Plain(nn.Linear(FEATURES, 512), nn.Linear(512, FEATURES, bias=False)) for _ in range(2)
    ]
    return nn.Sequential(
        nn.Unflatten(1, (3, 32, 32)),
        nn.ZeroPad3d((0, 0, 0, 0, 0, CHANNELS - 3)),
        *convs,
        nn.AvgPool2d(4, divisor_override=4),
        nn.Flatten(),
        *dense,
        Truncate(FEATURES, CLASSES),
    )


def passes(model: nn.Module) -> tuple[Callable[[], object], Callable[[], object]]:
    """A forward pass without gradients, and a training step."""
    torch.manual_seed(0)
    x, label = torch.rand(BATCH, 3 * 32 * 32), torch.randint(0, CLASSES, (BATCH,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    @torch.no_grad()
    def forward() -> Tensor:
        return model(x)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), label).backward()
        optimizer.step()

    return forward, step


def run() -> list[list[str]]:
    torch.manual_seed(0)
    rows = [["padding", "network", "forward, images/s", "time", "step, images/s", "time"]]
    for flag, padding in enumerate(PADDINGS):
        sll = NAMED["havens2023-sll"](3 * 32 * 32, CLASSES, height=32, width=32, zero_padding=flag)
        runs = {"plain": passes(plain(padding)), "SLL": passes(sll)}
        times = {name: [float("inf")] * 2 for name in runs}
        for _ in range(ROUNDS):  # in turns: what else the machine does meets both alike
            for name, pair in runs.items():
                times[name] = [
                    min(t, best(f, repeats=3)) for t, f in zip(times[name], pair, strict=True)
                ]
        for name, pair in times.items():
            cells = [
                cell
                for t, base in zip(pair, times["plain"], strict=True)
                for cell in (f"{BATCH / t:,.0f}", f"{t / base:.2f}")
            ]
            rows.append([padding, name, *cells])
    return rows
