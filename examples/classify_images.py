"""A convolutional network trained in plain torch, and its twin: the same function as LBENs.

`build` makes a model of any family for the shape of the samples; what is frozen is proven.
"""

from __future__ import annotations

import torch
from torch import nn

import certlip
from certlip.certification import certify, parse_eps
from certlip.data import load
from certlip.models import build
from certlip.reparam import reparametrize
from certlip.solvers import Evaluator


def main() -> None:
    torch.manual_seed(0)
    data = load("digits", split="train")
    x, label = torch.from_numpy(data.x).float(), torch.from_numpy(data.label)
    sizes = {"channels": 4, "inner": 8, "conv_depth": 2, "pool": 2, "hidden": 16, "dense_depth": 2}
    model = build("sll-conv", data.shape, data.classes, **sizes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(300):
        rows = torch.randint(len(label), (64,))
        loss = nn.functional.cross_entropy(8 * model(x[rows]), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: loss {float(loss.detach()):.3f}")

    network = model.freeze()
    proof = certlip.prove(network)
    test = load("digits", split="test", limit=100)
    radii = certify(network, proof, test.x, test.label)
    [eps] = parse_eps("36/255")
    print(f"L ≤ {proof.lip}; {radii.natural_correct()} of {len(radii)} correct")
    print(f"certified at 36/255: {int(radii.certified_at(eps).sum())} of {len(radii)}")

    twin = reparametrize(network).freeze()
    for block in twin.blocks:
        print(f"twin: {block.kind}, {block.describe()}")
    rows = torch.from_numpy(test.x)
    with torch.no_grad():
        difference = (Evaluator(twin)(rows) - Evaluator(network)(rows)).abs().max()
    print(f"its logits differ by at most {float(difference):.1e}; L ≤ {certlip.prove(twin).lip}")


if __name__ == "__main__":
    main()
