"""Frozen blocks: what they refuse, how they are rebuilt, and what their hash covers."""

import hashlib
import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch

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
)
from certlip.blocks.activations import activation
from certlip.blocks.base import Block, check_slopes, parse_sigma
from certlip.blocks.kinds import KINDS
from certlip.errors import InputError


def t(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def relu(n):
    return Sigma.of(activation("relu"), n)


def pixels(sigma, count):
    """σ per coordinate of a σ per channel of `count` pixels."""
    return Sigma(tuple((kind, n * count) for kind, n in sigma.segments))


WRONG: Any = "relu"
MIXED = Sigma(((activation("elu", {"alpha": 0.25}), 2), (activation("leaky_relu"), 1)))
EXAMPLES: dict[str, Any] = {
    "normalize": lambda: Normalize(t(3), t(3).abs() + 1),
    "affine": lambda: Affine(t(2, 3), t(2)),
    "activation": lambda: Activation(MIXED),
    "residual": lambda: Residual(t(3, 2), t(2).abs(), t(2), relu(2)),
    "equilibrium": lambda: Equilibrium(t(3, 3), t(3, 2), t(4, 3), t(3), t(4), MIXED),
    "convolution": lambda: Convolution(t(3, 2, 2, 3), t(3), 2, 3, "zero"),
    "conv-residual": lambda: ConvResidual(
        t(3, 2, 1, 2), t(3).abs(), t(3), pixels(MIXED, 6), 3, 2, "circular"
    ),
    "conv-equilibrium": lambda: ConvEquilibrium(
        t(3, 3, 2, 2), t(3, 2, 1, 1), t(4, 3, 1, 2), t(3), t(4), pixels(MIXED, 4), 2, 2
    ),
    "padded-equilibrium": lambda: PaddedEquilibrium(
        *(t(3, 3, 2).abs() + 1, t(3, 2, 3, 1), t(1, 3, 1, 1), t(3, 3, 3, 1), t(4, 18)),
        *(t(3), t(4), 0.5, 1 / 3, pixels(MIXED, 6)),
    ),
    "pooling": lambda: Pooling(2, 4, 6, 2),
    "resize": lambda: Resize(5, 3),
    "group-sort": lambda: GroupSort(12, 2, 3),
    "window": lambda: Window(2, 4, 3, -1, 1, 3, 2, 2, 1),
}
every_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def test_every_kind_has_an_example():
    assert set(EXAMPLES) == set(KINDS)
    assert all(KINDS[kind].kind == kind for kind in KINDS)


@every_kind
def test_arrays_and_meta_rebuild_the_block(kind):
    block = EXAMPLES[kind]()
    meta = json.loads(json.dumps(block.meta()))
    again = KINDS[kind].from_parts(block.arrays(), meta)
    assert type(again) is type(block)
    assert again.meta() == block.meta()
    assert (again.in_width, again.out_width) == (block.in_width, block.out_width)
    assert again.describe() == block.describe()
    for name, array in block.arrays().items():
        assert torch.equal(again.arrays()[name], array)
    assert Network([again]).sha256() == Network([block]).sha256()


@every_kind
def test_parts_that_are_missing_or_superfluous_are_refused(kind):
    block = EXAMPLES[kind]()
    arrays, meta = block.arrays(), block.meta()
    with pytest.raises(InputError, match=r"arrays .*'extra'"):
        KINDS[kind].from_parts({**arrays, "extra": t(1)}, meta)
    with pytest.raises(InputError, match=f"{kind} block with metadata"):
        KINDS[kind].from_parts(arrays, {**meta, "extra": 1})
    if meta:
        with pytest.raises(InputError, match=f"{kind} block with metadata"):
            KINDS[kind].from_parts(arrays, {})
    for name in arrays:
        with pytest.raises(InputError, match=f"{kind} block with arrays"):
            KINDS[kind].from_parts({k: v for k, v in arrays.items() if k != name}, meta)


@every_kind
def test_a_block_keeps_its_own_dense_copy(kind):
    block = EXAMPLES[kind]()
    before = Network([block]).sha256()
    sources = {
        name: torch.stack([a, a], dim=-1)[..., 0].requires_grad_()  # strided, differentiable
        for name, a in block.arrays().items()
    }
    rebuilt = KINDS[kind].from_parts(sources, block.meta())
    with torch.no_grad():
        for source in sources.values():
            source.add_(1.0)
    assert Network([rebuilt]).sha256() == before
    for array in rebuilt.arrays().values():
        assert array.is_contiguous()
        assert not array.requires_grad


@every_kind
def test_a_block_is_frozen(kind):
    block = EXAMPLES[kind]()
    for name in (*block.array_names, *block.plain_names, "sigma"):
        with pytest.raises(FrozenInstanceError):
            setattr(block, name, None)


BAD_TENSORS = {
    "float32": (lambda a: a.float(), r"torch.float32: expected torch.float64"),
    "complex": (lambda a: a.to(torch.complex128), "torch.complex128: expected torch.float64"),
    "integer": (lambda a: a.long(), "torch.int64: expected torch.float64"),
    "bfloat16": (lambda a: a.bfloat16(), "torch.bfloat16: expected"),
    "NumPy": (lambda a: a.numpy(), "is a ndarray: expected a tensor"),
    "None": (lambda _: None, "is a NoneType: expected a tensor"),
    "NaN": (lambda a: torch.full_like(a, torch.nan), r"\[0.*\] = nan: expected finite"),
    "Inf": (lambda a: torch.full_like(a, -torch.inf), r"= -inf: expected finite"),
    "axis": (lambda a: a[None], "nonempty axes"),
    "scalar": (lambda a: a.sum(), "nonempty axes"),
    "empty": (lambda a: a[:0], "nonempty axes"),
    "sparse": (lambda a: a.to_sparse(), "torch.sparse_coo on cpu: expected dense"),
    "meta": (lambda a: a.to("meta"), "on meta: expected dense, on the CPU"),
    "stride": (lambda a: a.new_ones(()).expand(a.shape), "repeats its storage"),
    "nested": (lambda a: torch.nested.nested_tensor([a, a]), "nested tensor"),
}
ARRAYS = [(kind, name) for kind in sorted(KINDS) for name in KINDS[kind].array_names]


@pytest.mark.parametrize("bad", BAD_TENSORS)
@pytest.mark.parametrize(("kind", "name"), ARRAYS)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_is_no_finite_dense_double_tensor_is_refused(kind, name, bad):
    change, message = BAD_TENSORS[bad]
    block = EXAMPLES[kind]()
    arrays = block.arrays()
    with pytest.raises(InputError, match=message) as caught:
        KINDS[kind].from_parts({**arrays, name: change(arrays[name])}, block.meta())
    assert f"{kind} block: {name}" in str(caught.value)


def test_a_tensor_with_a_pending_sign_is_stored_as_numbers():
    imaginary = torch.complex(t(2), t(2, seed=1)).conj().imag  # a view that negates when read
    assert imaginary.is_neg()
    block = Affine(t(2, 3), imaginary)
    assert np.array_equal(block.b.numpy(), -t(2, seed=1).numpy())


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Affine(t(2, 3), t(3)), r"b has shape \(3,\): expected \(2,\)"),
        (lambda: Normalize(t(3), t(2).abs()), r"std has shape \(2,\): expected \(3,\)"),
        (lambda: Normalize(t(2), torch.zeros(2).double()), r"std\[0\] = 0.0: expected > 0"),
        (lambda: Normalize(t(2), -torch.ones(2).double()), r"std\[0\] = -1.0: expected > 0"),
        (lambda: Residual(t(3, 2), t(3).abs(), t(2), relu(2)), r"D has shape \(3,\)"),
        (lambda: Residual(t(3, 2), t(2).abs(), t(3), relu(2)), r"b has shape \(3,\)"),
        (lambda: Residual(t(3, 2), -t(2).abs(), t(2), relu(2)), "expected ≥ 0"),
        (lambda: Residual(t(3, 2), t(2).abs(), t(2), relu(3)), "σ has 3 coordinates: expected 2"),
        (lambda: Equilibrium(t(3, 2), t(3, 2), t(4, 3), t(3), t(4), relu(3)), "W is square"),
        (lambda: Equilibrium(t(3, 3), t(2, 2), t(4, 3), t(3), t(4), relu(3)), "U has shape"),
        (lambda: Equilibrium(t(3, 3), t(3, 2), t(4, 2), t(3), t(4), relu(3)), "G has shape"),
        (lambda: Equilibrium(t(3, 3), t(3, 2), t(4, 3), t(2), t(4), relu(3)), "b_z has shape"),
        (lambda: Equilibrium(t(3, 3), t(3, 2), t(4, 3), t(3), t(3), relu(3)), "b_y has shape"),
        (
            lambda: Equilibrium(t(3, 3), t(3, 2), t(4, 3), t(3), t(4), relu(2)),
            "σ has 2 coordinates: expected 3",
        ),
        (lambda: Activation(Sigma(())), "σ has no coordinates"),
        (lambda: Activation(WRONG), "sigma is a str: expected a Sigma"),
        (lambda: Residual(t(3, 2), t(2).abs(), t(2), WRONG), "sigma is a str"),
        (lambda: Origin("lben", {}, {"psi": t(2).float()}), "psi is torch.float32"),
        (lambda: Origin("lben", {}, {"psi": t(2) * torch.nan}), "psi.*expected finite"),
        (lambda: Network([]), "at least one block"),
        (lambda: Network([Affine(t(2, 3), t(2)), Affine(t(2, 3), t(2))]), "gives 2 numbers"),
        (
            lambda: Network([Resize(3, 2**26 + 1)]),
            "block 0 .3 → 67108865.: expected at most 67,108",
        ),
        (lambda: Network([Activation(relu(10**30))]), "block 0 .10*, relu.*: expected at most"),
        (lambda: Network([Affine(t(2, 3), t(2))], WRONG), r"history\[0\] is a str"),
        (lambda: Network([Affine(t(2, 3), t(2))], [{}, WRONG]), r"history\[1\] is a str"),
    ],
)
def test_what_does_not_fit_is_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()


def test_slopes_outside_the_unit_interval_are_refused():
    steep = activation("leaky_relu", {"slope": 0.5})
    for slopes in ((-0.1, 1.0), (0.0, 1.1), (float("nan"), 1.0), (0.0, float("nan"))):
        steep.slopes = slopes
        with pytest.raises(InputError, match=r"expected \[0, 1\]"):
            check_slopes("activation", Sigma.of(steep, 2))


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "relu",
        [3],
        ["relu"],
        [["relu", 2]],
        [["relu", 2, {}, 0]],
        [["relu", 0, {}]],
        [["relu", -1, {}]],
        [["relu", 2.0, {}]],
        [["relu", "2", {}]],
        [["relu", True, {}]],
        [["relu", None, {}]],
        [["gelu", 2, {}]],
        [[["relu"], 2, {}]],
        [[None, 2, {}]],
        [["relu", 2, 5]],
        [["relu", 2, None]],
        [["relu", 2, {"slope": 0.1}]],
        [["elu", 2, {"alpha": 2.0}]],
        [["elu", 2, {"alpha": "1"}]],
        {"relu": 2},
    ],
)
def test_malformed_segments_are_refused(value):
    with pytest.raises(InputError):
        parse_sigma(value)


def test_segments_are_read_in_order():
    sigma = parse_sigma([["relu", 2, {}], ["elu", 1, {"alpha": 0.5}]])
    assert sigma == Sigma(((activation("relu"), 2), (activation("elu", {"alpha": 0.5}), 1)))


def network():
    equilibrium = Equilibrium(t(4, 4), t(4, 3), t(3, 4), t(4), t(3), relu(4))
    return Network(
        [
            Normalize(t(3), t(3).abs() + 1),
            equilibrium,
            Activation(MIXED),
            Residual(t(3, 2), t(2).abs(), t(2), relu(2)),
            Affine(t(8, 3), t(8)),
            Convolution(t(1, 2, 2, 1), t(1), 2, 2, "zero"),
            ConvResidual(t(3, 1, 1, 2), t(3).abs(), t(3), relu(12), 2, 2, "circular"),
            ConvEquilibrium(t(2, 2, 2, 2), t(2, 1, 1, 1), t(2, 2, 1, 1), t(2), t(2), relu(8), 2, 2),
            GroupSort(8, 2, 4),
            Pooling(2, 2, 2, 2),
            Resize(2, 2),
        ]
    )


def documented_hash(network):
    """The recipe of docs/certificate.md, section "Model hash", from the numbers alone."""
    data = b""
    for block in network.blocks:
        arrays = {name: np.array(a.tolist(), dtype="<f8") for name, a in block.arrays().items()}
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        head = {"kind": block.kind, "meta": block.meta(), "shapes": shapes}
        data += json.dumps(head, sort_keys=True, separators=(",", ":")).encode("utf-8") + b"\n"
        for name in sorted(arrays):
            data += arrays[name].tobytes(order="C")
    return hashlib.sha256(data).hexdigest()


def test_the_hash_is_the_documented_one():
    assert network().sha256() == documented_hash(network())
    assert network().sha256() == network().sha256()


def test_every_array_entry_counts_in_the_hash():
    original = network()
    seen = {original.sha256()}
    entries = 0
    for k, block in enumerate(original.blocks):
        for name, array in block.arrays().items():
            for i in range(array.numel()):
                nudged = array.clone()
                flat = nudged.view(-1)
                flat[i] = torch.nextafter(flat[i], torch.tensor(9.0, dtype=torch.float64))
                blocks: list[Any] = list(original.blocks)
                blocks[k] = replace(blocks[k], **{name: nudged})
                seen.add(Network(blocks).sha256())
                entries += 1
    assert len(seen) == entries + 1


def test_the_hash_covers_sigma_order_shape_and_kind():
    W, b = t(2, 2), t(2)
    one, two = Affine(W, b), Affine(W.T.contiguous(), b)
    networks = [
        Network([one, two]),
        Network([two, one]),
        Network([one]),
        Network([one, Activation(relu(2))]),
        Network([one, Activation(Sigma.of(activation("tanh"), 2))]),
        Network([one, Activation(Sigma.of(activation("elu", {"alpha": 0.5}), 2))]),
        Network([one, Activation(Sigma.of(activation("elu", {"alpha": 0.25}), 2))]),
        Network([Affine(t(2, 3), t(2))]),
        Network([Affine(t(2, 3).reshape(3, 2), torch.cat([t(2), t(1)]))]),
        Network([Normalize(b.abs(), b.abs())]),
        Network([Affine(torch.zeros(1, 1).double(), b[:1])]),
        Network([Affine(-torch.zeros(1, 1).double(), b[:1])]),
    ]
    assert len({n.sha256() for n in networks}) == len(networks)


@every_kind
def test_every_plain_value_counts_in_the_hash(kind):
    block = EXAMPLES[kind]()
    seen = {Network([block]).sha256()}
    other = {"padding": "circular" if getattr(block, "padding", "") == "zero" else "zero"}
    for name in block.plain_names:
        # a value that no constructor would let through, so that it alone differs
        changed = EXAMPLES[kind]()
        object.__setattr__(changed, name, other.get(name) or getattr(block, name) + 1)
        seen.add(Network([changed]).sha256())
    assert len(seen) == 1 + len(block.plain_names)


@pytest.mark.parametrize("kind", ["equilibrium", "conv-equilibrium"])
def test_the_hash_does_not_cover_history_or_origin(kind):
    block = EXAMPLES[kind]()
    plain = Network([block])
    told = plain.with_history({"step": "train"}).with_history({"step": "more"})
    assert [entry["step"] for entry in told.history] == ["train", "more"]
    assert plain.history == ()
    assert told.sha256() == plain.sha256()
    origin = Origin("lben", {"lip": 2.0}, {"psi": t(3).abs()})
    assert Network([replace(block, origin=origin)]).sha256() == plain.sha256()


def test_the_widest_network_is_allowed():
    assert Network([Resize(3, 2**26), Resize(2**26, 3)]).classes == 3


def test_a_network_knows_its_widths():
    assert (network().in_width, network().classes) == (3, 2)
    assert all(isinstance(block, Block) for block in network().blocks)
    assert EXAMPLES["equilibrium"]().n == EXAMPLES["conv-equilibrium"]().n == 3
