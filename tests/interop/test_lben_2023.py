"""Fine-tuned LBENs of the paper's code: its function by dense matrices, and proofs of its quirks."""

import pytest
import torch
import torch.nn.functional as F
from checkpoints import HOSTILE, check_hostile, normal

from certlip.errors import InputError, RejectedError
from certlip.interop import convert
from certlip.interop.lben_2023 import SHAPES
from certlip.lmi import prove
from certlip.solvers import Evaluator

C, SIDE, DEPTH, D, CLASSES = 3, 4, 1, 5, 2
SIZES = {"n": (DEPTH + 1) * C, "c": C, "H": SIDE, "N": (DEPTH + 1) * D, "D": D}
FEATURES = C * (SIDE // 4) ** 2
CONV, DENSE = "mon_conv.linear_module.", "mon_dense.linear_module."


def entries(scale=0.15, **changes):
    """Random parameters; Λ near 1 with one padded unit of each layer, whose rows of U are zero."""
    found = {}
    for k, (name, shape) in enumerate(SHAPES.items()):
        found[name] = scale * normal(*(SIZES.get(side, side) for side in shape), seed=k)
    for name, last in ((CONV + "kLambda", (0, -1)), (DENSE + "Lambda", (-1,))):
        found[name] = 1.0 + found[name]
        found[name][last] = 0.0
    found[CONV + "kU"][-1] = 0.0
    found[DENSE + "U"][-1] = 0.0
    return found | changes


def written(tmp_path, found):
    path = tmp_path / "model.ckpt-9.pth"
    state = {"module.model." + name: value for name, value in found.items()}
    torch.save({"epoch": 1, "model_state_dict": state}, path)
    return path


def matrix(kernel):
    """The dense matrix of a circular convolution whose middle tap lies just before the middle."""
    kernel = kernel.double()
    o, i = kernel.shape[:2]
    basis = torch.eye(i * SIDE * SIDE, dtype=torch.float64).reshape(-1, i, SIDE, SIDE)
    before = (SIDE - 1) // 2
    after = SIDE - 1 - before
    images = F.conv2d(F.pad(basis, (before, after, before, after), "circular"), kernel)
    return images.reshape(len(basis), o * SIDE * SIDE).T


def formula(found, x):
    conv = [
        matrix(found[CONV + name]) if name != "kLambda" else found[CONV + name].double()
        for name in ("kM", "kV", "kU", "kLambda", "kG")
    ]
    M, V, U, lam, G = conv
    pixels = SIDE * SIDE
    lam = lam.flatten().repeat_interleave(pixels)
    b = found[CONV + "bias_weights"].double().flatten().repeat_interleave(pixels)
    y = layer(M, V @ V.T, U, lam.abs(), G, b, C * pixels, x.flatten(1))
    y = F.avg_pool2d(y.reshape(-1, C, SIDE, SIDE), 4, divisor_override=4).flatten(1)
    names = ("M", "V", "U", "Lambda", "G", "bias_weights")
    M, V, U, lam, G, b = (found[DENSE + name].double() for name in names)
    y = F.pad(y, (0, D - FEATURES))
    return layer(M, V @ V, U, lam.abs(), G, b, D, y)[:, :CLASSES]


def layer(M, VV, U, lam, G, b, linear, x):
    psi = torch.where(lam > 0, 1 / lam, 0.0)
    lam_U = lam[:, None] * U
    R = G.T @ G / 2 + lam_U @ lam_U.T / 2 + VV + 1e-8 * torch.eye(len(lam)) + (M - M.T) / 2
    W = torch.diag((lam > 0).double()) - psi[:, None] * R
    z = torch.zeros(len(x), len(lam), dtype=torch.float64)
    for _ in range(20000):
        v = z @ W.T + x @ U.T + b
        z = z + 0.1 * (torch.cat([v[:, :linear], v[:, linear:].relu()], 1) - z)
    return z @ G.T


@pytest.mark.parametrize("live", [False, True])
def test_the_same_function_as_the_formula(tmp_path, live):
    """Padded units included: constants are folded, and one with a live row of U stays."""
    found = entries()
    found[CONV + "bias_weights"][0, -1] = 0.7  # a constant that is not zero
    if live:
        found[DENSE + "U"][-1] = 0.3
    network = convert(written(tmp_path, found), "lben-2023", {"classes": CLASSES, "mean": 0.0})
    conv, dense = network.blocks[0], network.blocks[2]
    assert conv.n == SIZES["n"] - 1
    assert dense.W.shape[0] == SIZES["N"] - (not live)
    x = torch.rand(4, 3, SIDE, SIDE, dtype=torch.float64)
    y = Evaluator(network)(x.flatten(1))
    torch.testing.assert_close(y, formula(found, x), atol=1e-9, rtol=1e-9)


def test_the_claim_is_proven_where_it_holds_and_not_where_V_V_breaks_it(tmp_path):
    """For symmetric V the formula has L = 1; V·V of another is indefinite, and its Λ is refuted."""
    found = entries()
    V = found[DENSE + "V"]
    found[DENSE + "V"] = (V + V.T) / 2
    values = {"classes": CLASSES, "mean": 0.0}
    good = prove(convert(written(tmp_path, found), "lben-2023", values))
    assert good.blocks[0].lip.value == pytest.approx(1.0, rel=1e-9)
    assert good.blocks[2].lip.value == pytest.approx(1.0, rel=1e-9)
    found[DENSE + "V"] = 3.0 * (V - V.T)
    network = convert(written(tmp_path, found), "lben-2023", values)
    assert network.blocks[2].origin is not None
    with pytest.raises(RejectedError, match="block 2"):
        prove(network)


@pytest.mark.parametrize(
    ("changes", "values", "word"),
    [
        ({}, {}, "classes"),
        ({}, {"classes": D + 1}, "classes"),
        ({DENSE + "G": normal(2, SIZES["N"])}, {"classes": 2}, "G"),
        ({CONV + "kV": normal(3, 3, SIDE, SIDE)}, {"classes": 2}, "kV"),
        ({"mon_conv.linear_module.other": normal(2)}, {"classes": 2}, "other"),
        ({CONV + "kM": torch.full((6, 6, 4, 4), torch.inf)}, {"classes": 2}, "finite"),
    ],
)
def test_malformed_checkpoints(tmp_path, changes, values, word):
    path = written(tmp_path, entries(**changes))
    with pytest.raises(InputError, match=word) as caught:
        convert(path, "lben-2023", values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused(tmp_path, capsys, what):
    check_hostile(tmp_path, capsys, "lben-2023", what)
