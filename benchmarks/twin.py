"""The paper's network on 3×32×32 images (8 inner channels) and its LBEN twin: 40 channels on the torus and
1,536 dense states. How long the twin takes to build; images/s at batch 64 of the SLL and of the twin
before fine-tuning, and after 20 steps of Adam at lr 1e-5, with residuals of at most 1e-5·(1 + ‖z‖); against
the textbook, which forms everything anew at every call, once with batched products and once with
products by broadcasting. The data are the embedded digits, four times as large in each direction."""

from __future__ import annotations

import resource
import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.lben import textbook
from benchmarks.textbook import Textbook, TextbookDense, TextbookLBEN
from benchmarks.timing import best
from certlip.blocks import Block, ConvEquilibrium, Equilibrium, Network
from certlip.data import load
from certlip.equilibrium import LBEN
from certlip.layers.base import NUDGE
from certlip.models import NAMED
from certlip.reparam import Reparametrized, equilibria_from_network, reparametrize
from certlip.solvers import Evaluator
from certlip.training.losses import margin_cross_entropy

BATCH, SIDE, TOLERANCE = 64, 32, 1e-5
STEPS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)


def digits() -> tuple[Tensor, Tensor]:
    """Images (n, 3·32·32) in [0, 1], three equal channels, and labels."""
    data = load("digits", split="train")
    image = torch.tensor(data.x).reshape(-1, 1, 8, 8)
    large = image.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    return large.expand(-1, 3, -1, -1).flatten(1), torch.tensor(data.label)


def descend(model: nn.Module, rates: list[float], batch: int) -> None:
    """Steps of Adam on the digits at these rates, with the loss and the clipping of the recipes."""
    x, label = digits()
    dtype = next(model.parameters()).dtype
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.5, 0.9))
    for lr in rates:
        optimizer.param_groups[0]["lr"] = lr
        rows = torch.randint(len(x), (batch,))
        optimizer.zero_grad()
        margin_cross_entropy(model(x[rows].to(dtype)), label[rows], 0.7071, 0.1).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def trained_sll(steps: int = 150) -> Network:
    """The network of Havens et al. after a short training (on 2 cores about 15 s)."""
    torch.manual_seed(0)
    model = NAMED["havens2023-sll"](3 * SIDE**2, 10, height=SIDE, width=SIDE, inner=8)
    descend(model, [1e-2 * (1.0 - step / steps) for step in range(steps)], BATCH)
    return model.freeze()


class Twin(nn.Module):
    """Fixed blocks and trainable LBENs, one after the other."""

    def __init__(self, parts: Reparametrized) -> None:
        super().__init__()
        self.lbens = nn.ModuleList(parts.lbens)
        self.steps = [p if isinstance(p, LBEN) else Evaluator(Network([p])) for p in parts.parts]

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


def finetuned(parts: Reparametrized) -> Network:
    """The twin after 20 steps at lr 1e-5, in float64."""
    for lben in parts.lbens:
        lben.eps = NUDGE
    descend(Twin(parts), [1e-5] * 20, 32)
    return parts.freeze()


class TextbookTwin:
    """Both LBENs by the textbook, and the fixed blocks."""

    def __init__(
        self,
        parts: Reparametrized,
        dtype: torch.dtype,
        kind: type[TextbookLBEN] = TextbookLBEN,
    ) -> None:
        self.kind = kind
        self.parts: list[Evaluator | Textbook] = [self._part(p, dtype) for p in parts.parts]

    def _part(self, part: Block | LBEN, dtype: torch.dtype) -> Evaluator | Textbook:
        if not isinstance(part, LBEN):
            return Evaluator(Network([part]), dtype=dtype)
        if part.structure.torus is not None:
            return textbook(part.to(dtype), self.kind)
        relu = [kind.name == "relu" for kind, n in part.sigma.segments for _ in range(n)]
        own: dict[str, Any] = {n: p.detach().to(dtype) for n, p in part.named_parameters()}
        own |= {"relu": torch.tensor(relu), "lip": part.lip, "eps": part.eps}
        return TextbookDense(**own)

    def __call__(self, x: Tensor, *, tune: bool = False) -> tuple[Tensor, list[int]]:
        """Logits and iterations; `tune` first chooses the best step of a few."""
        iterations = []
        for part in self.parts:
            if isinstance(part, Evaluator):
                x = part(x)
                continue
            if tune:
                part.tuned(x, tol=TOLERANCE, steps=STEPS)
            answer = part(x, tol=TOLERANCE)
            assert answer.converged
            iterations.append(answer.iterations)
            x = answer.y
        return x, iterations

    def steps(self) -> list[float]:
        """The step of every part that has one."""
        return [part.alpha for part in self.parts if isinstance(part, Textbook)]

    def with_steps(self, steps: list[float]) -> TextbookTwin:
        """This one with the steps of another."""
        for part, alpha in zip(
            [part for part in self.parts if isinstance(part, Textbook)], steps, strict=True
        ):
            part.alpha = alpha
        return self


class Broadcasting(TextbookLBEN):
    """A product per frequency as a sum over a broadcast array, as in the public code of the paper."""

    def product(self, A: Tensor, x: Tensor) -> Tensor:
        X = torch.fft.fft2(x).permute(0, 2, 3, 1)
        return torch.fft.ifft2((A[None] * X[..., None, :]).sum(dim=-1).permute(0, 3, 1, 2)).real


def run() -> list[list[str]]:
    network = trained_sll()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    parts = reparametrize(network)
    built = time.perf_counter() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    triangular, tuned = equilibria_from_network(network), finetuned(parts)
    assert [b.n for b in tuned.blocks if isinstance(b, ConvEquilibrium | Equilibrium)] == [40, 1536]
    title = f"build the twin: {built:.2f} s, {memory:.2f} GiB more at its peak"
    rows = [
        ["precision", "evaluation", "iterations", "images/s", "compared with", "ratio"],
        ["float64", title, "", "", "", ""],
    ]
    for dtype in (torch.float32, torch.float64):
        rows += _compare(network, triangular, tuned, parts, digits()[0][:BATCH].to(dtype))
    return rows


@torch.no_grad()
def _compare(
    network: Network, triangular: Network, tuned: Network, parts: Reparametrized, x: Tensor
) -> list[list[str]]:
    precision = str(x.dtype).removeprefix("torch.")
    rows, seconds = [], {}

    def row(name: str, took: float, iterations: list[int], other: str | None = None) -> None:
        seconds[name] = took
        counts = " + ".join(map(str, iterations))
        compared = [other, f"{seconds[other] / took:.2f}"] if other else ["", ""]
        rows.append([precision, name, counts, f"{BATCH / took:.3g}", *compared])

    def mine(model: Network) -> tuple[float, list[int], Tensor]:
        evaluator = Evaluator(model, dtype=x.dtype, tol=TOLERANCE)
        evaluator(x)  # the first call computes what later ones keep
        y, solutions = evaluator.run(x)
        assert all(s.converged for s in solutions.values())
        counts = [s.iterations for s in solutions.values()]
        return best(lambda: evaluator(x), 9), counts, y

    took, _, _ = mine(network)
    row("SLL", took, [])
    took, _, _ = mine(triangular)
    row("twin, triangular", took, [], "SLL")
    baseline = TextbookTwin(parts, x.dtype)
    expected, iterations = baseline(x, tune=True)
    row("textbook", best(lambda: baseline(x), 2), iterations)
    took, counts, y = mine(tuned)
    row("twin, fine-tuned", took, counts, "textbook")
    assert float((y - expected).abs().max()) < 1e-3
    broadcast = TextbookTwin(parts, x.dtype, Broadcasting).with_steps(baseline.steps())
    start = time.perf_counter()
    broadcast(x)
    row("textbook, broadcasting", time.perf_counter() - start, iterations)
    row("twin, fine-tuned", took, counts, "textbook, broadcasting")
    return rows
