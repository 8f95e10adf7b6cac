"""A convolutional LBEN of the size in the paper (40 channels of 32×32 pixels, 8 linear; kernels U and G of
3×3 taps, V and S as large as the image), batches of 64, solved to the default tolerance of its precision,
against the textbook: everything anew at every call, full complex transforms, the best step of a few."""

from __future__ import annotations

import torch

from benchmarks.textbook import TextbookLBEN
from benchmarks.timing import best
from certlip.blocks import Network, Sigma
from certlip.blocks.activations import activation
from certlip.blocks.image import channel_sigma, pixel_sigma
from certlip.equilibrium import LBEN
from certlip.linalg.torus import Torus
from certlip.solvers import Evaluator

BATCH = 64
STEPS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
TOLERANCES = {torch.float32: 2e-6, torch.float64: 1e-11}  # what certlip's solvers use


def random_lben(n: int = 40, linear: int = 8, side: int = 32, seed: int = 0) -> LBEN:
    """A float64 LBEN with `linear` channels in and out; VᵀV is the identity and something less."""
    generator = torch.Generator().manual_seed(seed)
    torus = Torus(side, side)

    def random(*shape: int, norm: float) -> torch.Tensor:
        fan = shape[1] * torch.Size(shape[2:]).numel() if len(shape) > 1 else 1
        return norm * fan**-0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)

    V = random(n, n, side, side, norm=0.3)
    V[:, :, (side - 1) // 2, (side - 1) // 2] += torch.eye(n, dtype=torch.float64)
    kinds = Sigma(((activation("identity"), linear), (activation("relu"), n - linear)))
    return LBEN(
        log_psi=random(n, norm=0.1),
        U=random(n, linear, 3, 3, norm=1.0),
        G=random(linear, n, 3, 3, norm=1.0),
        V=V,
        S=random(n, n, side, side, norm=0.3),
        b_z=random(n, norm=1.0),
        b_y=random(linear, norm=1.0),
        sigma=pixel_sigma(kinds, torus.pixels),
        torus=torus,
    )


def textbook(layer: LBEN, kind: type[TextbookLBEN] = TextbookLBEN) -> TextbookLBEN:
    """The textbook evaluation of a convolutional layer whose σ is the identity or ReLU."""
    torus = layer.structure.torus
    assert torus is not None, "a dense layer"
    sigma = channel_sigma(layer.sigma, torus.pixels)
    assert {kind.name for kind, _ in sigma.segments} <= {"identity", "relu"}, sigma
    relu = [kind.name == "relu" for kind, count in sigma.segments for _ in range(count)]
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    return kind(
        height=torus.height,
        width=torus.width,
        **parameters,
        relu=torch.tensor(relu),
        lip=layer.lip,
        eps=layer.eps,
    )


def compare(layer: LBEN, x: torch.Tensor) -> list[list[str]]:
    """Rows of the table for one layer and its inputs, both in the precision they have."""
    tol = TOLERANCES[x.dtype]
    baseline = textbook(layer)
    alpha = baseline.tuned(x[:8], tol=tol, steps=STEPS)
    evaluator = Evaluator(Network([layer.freeze()]), dtype=x.dtype)

    @torch.no_grad()
    def as_trained() -> tuple[torch.Tensor, int]:
        layer.b_z.add_(0.0)  # counts as a change: W and its resolvent are computed anew
        y = layer(x)
        assert layer.last_solution is not None
        return y, layer.last_solution.iterations

    @torch.no_grad()
    def frozen() -> tuple[torch.Tensor, int]:
        y, solutions = evaluator.run(x)
        return y, solutions[0].iterations

    def by_the_book() -> tuple[torch.Tensor, int]:
        answer = baseline(x, tol=tol)
        return answer.y, answer.iterations

    names = {
        f"textbook, α = {alpha:g}": by_the_book,
        "layer, W anew": as_trained,
        "frozen network": frozen,
    }
    expected, rows, base = by_the_book()[0], [], None
    for name, evaluate in names.items():
        y, iterations = evaluate()
        seconds = best(evaluate, 3)
        base = base or seconds
        apart = float(((y - expected).norm(dim=1) / expected.norm(dim=1)).max())
        precision = str(x.dtype).removeprefix("torch.")
        cells = [f"{seconds:.3f}", f"{base / seconds:.1f}", f"{apart:.0e}"]
        rows.append([precision, name, str(iterations), *cells])
    return rows


def run() -> list[list[str]]:
    rows = [["precision", "evaluation", "iterations", "seconds", "ratio", "apart, relative"]]
    torch.manual_seed(0)
    for dtype in TOLERANCES:
        layer = random_lben().to(dtype)
        torus = layer.structure.torus
        assert torus is not None
        x = torch.rand(BATCH, layer.U.shape[1] * torus.pixels, dtype=dtype)
        rows += compare(layer, x)
    return rows
