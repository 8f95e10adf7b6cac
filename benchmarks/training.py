"""A training step of the SLL network of Havens et al. 2023 on images of CIFAR-10's size, batches of 64 in
float32 with the loss of its recipe: certlip's, and a straightforward one that computes T⁻¹ in every call of
a layer and takes its images from a `DataLoader` that makes them one by one. CPU time; random pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from certlip.data import Dataset
from certlip.data.augment.jitter import Jitter
from certlip.models import build
from certlip.training import load_recipe
from certlip.training.batches import Batches
from certlip.training.group import Group
from certlip.training.losses import margin_cross_entropy
from certlip.training.stepper import Stepper

RECIPE = "havens2023-cifar10-sll"
SHAPE, CLASSES, IMAGES, STEPS, ROUNDS = (3, 32, 32), 10, 2048, 8, 5


class Conv(nn.Module):
    """y = x − 2 Kᵀ ∗ (T⁻¹ relu(K ∗ x + b)) on images that continue at the other side."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(inner, channels, 3, 3) / 9.0)
        self.bias, self.q = nn.Parameter(torch.zeros(inner)), nn.Parameter(torch.ones(inner))

    def forward(self, x: Tensor) -> Tensor:
        K, q = self.kernel, self.q.abs()
        taps = F.conv2d(K, K, padding=2).abs().sum((2, 3))
        D = 1.0 / ((taps * q).sum(1) / q)
        s = F.relu(F.conv2d(_around(x), K, self.bias))
        back = K.transpose(0, 1).flip(2, 3)
        return x - 2.0 * F.conv2d(_around(D[:, None, None] * s), back)


class Dense(nn.Module):
    """y = x − 2 W T⁻¹ relu(Wᵀx + b)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, hidden) / width**0.5)
        self.bias, self.q = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.ones(hidden))

    def forward(self, x: Tensor) -> Tensor:
        W, q = self.weight, self.q.abs()
        D = 1.0 / (((W.T @ W).abs() * q).sum(1) / q)
        return x - 2.0 * (D * F.relu(x @ W + self.bias)) @ W.T


def _around(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), "circular")


def straightforward() -> nn.Module:
    """The network of the recipe."""
    return nn.Sequential(
        nn.ZeroPad3d((0, 0, 0, 0, 0, 5)),
        *(Conv(8, 5) for _ in range(4)),
        nn.AvgPool2d(4, divisor_override=4),
        nn.Flatten(),
        *(Dense(512, 512) for _ in range(2)),
    )


class OneByOne(TorchDataset):
    """Images cut, mirrored and jittered when they are asked for."""

    def __init__(self, data: Dataset, changes: bool) -> None:
        self.data, self.changes, self.jitter = data, changes, Jitter()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.data.stored[i]).reshape(SHAPE).float() / 255.0
        if self.changes:
            down, right = torch.randint(9, (2,)).tolist()
            image = F.pad(image, (4, 4, 4, 4), "reflect")[:, down : down + 32, right : right + 32]
            image = image.flip(-1) if torch.rand(()) < 0.5 else image
            image = self.jitter.apply(image[None], torch.rand(1, Jitter.numbers))[0]
        return image, int(self.data.label[i])


def textbook_steps(data: Dataset, changes: bool) -> Callable[[], None]:
    """Some steps of the straightforward implementation."""
    model, loader = straightforward(), DataLoader(OneByOne(data, changes), 64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.9))

    def forever() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = forever()

    def run() -> None:
        for _ in range(STEPS):
            x, label = next(batches)
            optimizer.zero_grad()
            logits = model(x)[:, :CLASSES]
            margin_cross_entropy(logits, label, 2**0.5, 0.25).backward()
            optimizer.step()

    return run


def certlip_steps(data: Dataset, changes: bool, precision: str) -> Callable[[], None]:
    """Some steps of the recipe."""
    recipe = load_recipe(RECIPE)
    settings = recipe.train.with_options(precision=precision, augment=None if changes else ())
    model = build(recipe.family, SHAPE, CLASSES, **recipe.model)
    stepper = Stepper(model, Batches(data, settings, torch.float32, "cpu"), settings, Group())
    done = [0]

    def run() -> None:
        for _ in range(STEPS):
            epoch, step = divmod(done[0], stepper.batches.steps)
            stepper.step(epoch, step)
            done[0] += 1

    return run


def run() -> list[list[str]]:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8)
    label = generator.integers(0, CLASSES, IMAGES)
    data = Dataset.from_raw(
        "random", "train", pixels, label, classes=CLASSES, shape=SHAPE, divisor=255
    )
    rows = [["augmentation", "implementation", "images/s", "ratio"]]
    for changes in (True, False):
        runs = {
            "straightforward": textbook_steps(data, changes),
            "certlip": certlip_steps(data, changes, "full"),
            "certlip, bfloat16": certlip_steps(data, changes, "bfloat16"),
        }
        times = dict.fromkeys(runs, float("inf"))
        for _ in range(ROUNDS):  # in turns: what else the machine does meets both alike
            for name, steps in runs.items():
                began = time.process_time()
                steps()
                times[name] = min(times[name], time.process_time() - began)
        for name, seconds in times.items():
            speed, ratio = STEPS * 64 / seconds, times["straightforward"] / seconds
            how = "as in the recipe" if changes else "none"
            rows.append([how, name, f"{speed:,.0f}", f"{ratio:.2f}"])
    return rows
