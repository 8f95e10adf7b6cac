"""A deep equilibrium model with a prescribed Lipschitz bound, trained from scratch in plain torch.

An LBEN layer is a torch module like any other; `freeze()` gives the numbers that are proven.
"""

from __future__ import annotations

import torch
from torch import nn

import certlip
from certlip.blocks import Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification import certify, parse_eps
from certlip.data import load
from certlip.equilibrium import LBEN


def random_lben(n: int, d: int, classes: int, lip: float) -> LBEN:
    """An LBEN with n states and random parameters; the bound holds whatever they are."""

    def gaussian(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64) / shape[-1] ** 0.5

    return LBEN(
        log_psi=torch.zeros(n, dtype=torch.float64),
        U=gaussian(n, d),
        G=gaussian(classes, n),
        V=gaussian(n, n),
        S=gaussian(n, n),
        b_z=torch.zeros(n, dtype=torch.float64),
        b_y=torch.zeros(classes, dtype=torch.float64),
        sigma=Sigma.of(ReLU(), n),
        lip=lip,
        eps=1e-9,
    )


def main() -> None:
    torch.manual_seed(0)
    data = load("digits", split="train")
    x, label = torch.from_numpy(data.x), torch.from_numpy(data.label)
    model = random_lben(n=60, d=64, classes=10, lip=2.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(120):
        rows = torch.randint(len(label), (128,))
        loss = nn.functional.cross_entropy(4 * model(x[rows]), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            print(f"step {step}: loss {float(loss.detach()):.3f}")

    network = Network([model.freeze()])
    proof = certlip.prove(network)
    test = load("digits", split="test")
    radii = certify(network, proof, test.x, test.label)
    [eps] = parse_eps("36/255")
    print(f"L ≤ {proof.lip} (prescribed 2); {radii.natural_correct()} of {len(radii)} correct")
    print(f"certified at 36/255: {int(radii.certified_at(eps).sum())} of {len(radii)}")


if __name__ == "__main__":
    main()
