"""Certify a torch model of your own: freeze it, prove its bound, certify, check the certificate.

The model here is an ordinary two-layer network trained in a few seconds; nothing in it is Lipschitz by
construction, so its bound is the product of proven spectral norms and its radii are small.
"""

from __future__ import annotations

import torch
from torch import nn

import certlip
from certlip.data import load


def train() -> nn.Sequential:
    """A plain classifier of 8 × 8 digits with weight decay."""
    torch.manual_seed(0)
    data = load("digits", split="train")
    x, label = torch.from_numpy(data.x).float(), torch.from_numpy(data.label)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(150):
        loss = nn.functional.cross_entropy(model(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def main() -> None:
    network = certlip.freeze(train())
    bounds = certlip.lipschitz(network)
    print(f"L ≤ {bounds.lipschitz_upper}, of the norms {bounds.document['spectral_product']}")

    result = certlip.certify(
        network, load("digits", split="test"), eps="0.02,36/255", certificate="mine.certlip"
    )
    print(result)

    verified = certlip.verify("mine.certlip", model=network)
    print(f"checker: {'accepted' if verified.accepted else 'rejected'}")


if __name__ == "__main__":
    main()
