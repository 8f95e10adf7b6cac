"""Certify a torch model of your own: write it as blocks, prove its bound, certify, write a certificate.

The model here is an ordinary two-layer network trained in a few seconds; nothing in it is Lipschitz by
construction, so its bound is the product of proven spectral norms and its radii are small.
"""

from __future__ import annotations

import torch
from torch import nn

import certlip
from certlip.blocks import Activation, Affine, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.certificate import claims_of, write_certificate
from certlip.certify import certify, parse_eps
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


def freeze(model: nn.Sequential) -> Network:
    """The same function as certlip blocks in float64; float32 weights are represented exactly."""
    blocks = []
    for module in model:
        if isinstance(module, nn.Linear):
            blocks.append(Affine(module.weight.detach().double(), module.bias.detach().double()))
        elif isinstance(module, nn.ReLU):
            blocks.append(Activation(Sigma.of(ReLU(), blocks[-1].out_width)))
        else:
            raise TypeError(f"no sound rule for {type(module).__name__}")
    return Network(blocks)


def main() -> None:
    network = freeze(train())
    proof = certlip.prove(network)
    data, eps = load("digits", split="test"), parse_eps("0.02,36/255")
    radii = certify(network, proof, data.x, data.label)
    print(f"L ≤ {proof.lip}; {radii.natural_correct()} of {len(radii)} correct")
    for e in eps:
        print(f"certified at {e.text}: {int(radii.certified_at(e).sum())} of {len(radii)}")

    write_certificate(
        "mine.certlip", network, proof.blocks, str(proof.lip), claims_of(radii, data, eps)
    )
    verdict = certlip.check_certificate("mine.certlip")
    print(f"checker: {'accepted' if verdict.accepted else 'rejected'} ({verdict.reason})")


if __name__ == "__main__":
    main()
