"""A network with every kind of block, and model files with any content."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from certlip.blocks import (
    Activation,
    Affine,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Network,
    Normalize,
    Origin,
    PaddedEquilibrium,
    Pooling,
    Residual,
    Resize,
    Sigma,
    Window,
    files,
    load,
)
from certlip.blocks.activations import activation
from certlip.errors import InputError

SUFFIXES = [".pt", ".safetensors"]
both = pytest.mark.parametrize("suffix", SUFFIXES)


def t(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def network():
    sigma = Sigma(((activation("identity"), 2), (activation("elu", {"alpha": 1 / 3}), 1)))
    origin = Origin("lben", {"lip": 1.5}, {"psi": t(3).abs() + 0.1})
    equilibrium = Equilibrium(t(3, 3), t(3, 2), t(4, 3), t(3), t(4), sigma, origin)
    residual = Residual(t(4, 2), t(2).abs(), t(2), Sigma.of(activation("tanh"), 2))
    blocks = [Normalize(t(2), t(2).abs() + 1), equilibrium, residual]
    blocks += [Activation(Sigma.of(activation("leaky_relu", {"slope": 0.1}), 4))]
    history = [{"step": "train", "epochs": 3, "note": "é", "loss": 0.1, "nested": {"a": [1, None]}}]
    return Network([*blocks, Affine(t(8, 4), t(8)), *images()], history)


def images():
    """Blocks on two channels of 2×2 pixels, each kind once."""
    tanh = activation("tanh")
    sigma = Sigma(((activation("identity"), 4), (activation("elu", {"alpha": 1 / 3}), 8)))
    origin = Origin("lben", {"lip": 2.5}, {"psi": t(3).abs() + 0.1})
    kernels = t(3, 3, 2, 2), t(3, 2, 1, 2), t(2, 3, 1, 1)
    return [
        Convolution(t(2, 2, 2, 1), t(2), 2, 2, "zero"),
        ConvResidual(t(3, 2, 1, 2), t(3).abs(), t(3), Sigma.of(tanh, 12), 2, 2, "circular"),
        ConvEquilibrium(*kernels, t(3), t(2), sigma, 2, 2, origin),
        GroupSort(8, 2, 4),
        Pooling(2, 2, 2, 2),
        Resize(2, 3),
        Window(3, 1, 1, -1, 0, 2, 1, 1, 1),
        PaddedEquilibrium(
            *(t(2, 2, 1).abs(), t(2, 3, 1, 1), t(1, 2, 1, 1), t(2, 2, 1, 1), t(3, 4), t(2), t(3)),
            *(0.5, 2.5, Sigma.of(tanh, 4)),
        ),
    ]


def equilibrium_of(net, k=1):
    block = net.blocks[k]
    assert isinstance(block, Equilibrium | ConvEquilibrium)
    return block


def parts(net=None):
    """The document and the tensors of a valid file."""
    document, tensors = files._pack(net or network())
    return json.loads(json.dumps(document)), dict(tensors)


def write(path, document, tensors):
    """A file of the right form with any content."""
    text = document if isinstance(document, str) else json.dumps(document)
    if path.suffix == ".pt":
        torch.save({"document": text, "tensors": tensors}, path)
    else:
        save_file(tensors, path, metadata={"certlip": text})
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def hash_or_refusal(path):
    try:
        return load(path).sha256()
    except InputError as error:
        return str(error)


def assert_refused(path, match=None):
    with pytest.raises(InputError, match=match) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 500


def flipped_bytes(path, seed):
    """The outcome of reading `path` with one bit flipped, for 150 places."""
    data, rng = path.read_bytes(), np.random.default_rng(seed)
    for position in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        yield hash_or_refusal(path)
