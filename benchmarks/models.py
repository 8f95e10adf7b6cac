"""The models that are measured: SLL networks, random and trained, and their LBEN twins."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch

from certlip.blocks import Network, load
from certlip.data import load as load_data
from certlip.models import SLLClassifier
from certlip.reparam import reparametrize
from certlip.training import finetune, load_recipe, train


def sll(depth: int, *, width: int = 64, hidden: int = 64, seed: int = 0) -> Network:
    """A frozen SLL network with weights about as large as trained ones."""
    torch.manual_seed(seed)
    model = SLLClassifier(width, 10, width=width, hidden=hidden, depth=depth)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.freeze()


def tuned(network: Network, *, size: float = 1e-4, seed: int = 1) -> Network:
    """Its LBEN after steps of that size in every parameter, so that W is a full matrix."""
    parts = reparametrize(network)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in parts.lben.parameters():
            parameter += size * torch.randn_like(parameter)
    parts.lben.eps = 1e-9
    return parts.freeze()


@functools.cache
def trained() -> dict[str, Network]:
    """The demo's SLL network and its fine-tuned LBEN, trained here (about half a minute)."""
    recipe = load_recipe("digits-quick")
    data, validation = (load_data("digits", split=split) for split in ("train", "validation"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        network = train(recipe.family, recipe.model, data, validation, recipe.train, out / "sll")
        finetune(network, data, validation, recipe.finetune, out / "lben")
        return {name: load(out / name / "model.pt") for name in ("sll", "lben")}
