"""The evaluation of frozen networks against plain formulas in NumPy, one per kind of block."""

import itertools

import numpy as np
import pytest
import torch
from padded_nets import written_out

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
    PaddedEquilibrium,
    Pooling,
    Residual,
    Resize,
    Sigma,
    Window,
)
from certlip.blocks.activations import activation
from certlip.blocks.kinds import KINDS
from certlip.errors import InconclusiveError
from certlip.solvers import Evaluator, PeacemanRachford, Substitution
from certlip.solvers.choose import solver_for

SIGMA = Sigma(((activation("relu"), 2), (activation("tanh"), 1), (activation("elu"), 1)))
n, d, q = 4, 3, 2


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=shape)) for shape in shapes]


def points(rows, width, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, width))


def apply_sigma(v):
    elu = np.where(v[:, 3:] >= 0, v[:, 3:], np.exp(np.minimum(v[:, 3:], 0)) - 1)
    return np.concatenate([np.maximum(v[:, :2], 0), np.tanh(v[:, 2:3]), elu], axis=1)


def equilibrium_block(seed=0, strict=False):
    A, B, U, G, b_z, b_y = arrays((n, n), (n, n), (n, d), (q, n), (n,), (q,), seed=seed)
    W = 0.6 * torch.eye(n, dtype=torch.float64) - 0.1 * A.T @ A + B - B.T
    return Equilibrium(0.5 * B.tril(-1) if strict else W, U, G, b_z, b_y, SIGMA)


def equilibrium_formula(block, x):
    """By a damped iteration of the definition."""
    W, U, G = block.W.numpy(), block.U.numpy(), block.G.numpy()
    z = np.zeros((len(x), n))
    for _ in range(6000):
        z = z + 0.02 * (apply_sigma(z @ W.T + x @ U.T + block.b_z.numpy()) - z)
    return z @ G.T + block.b_y.numpy()


def residual_formula(block, x):
    W, D, b = block.W.numpy(), block.D.numpy(), block.b.numpy()
    return np.stack([r - 2 * W @ (D * apply_sigma((W.T @ r + b)[None])[0]) for r in x])


def residual_block():
    W, D, b = arrays((d, n), (n,), (n,))
    return Residual(W, D.abs(), b, SIGMA)


def correlation(K, x, padding="circular"):
    """Σ_t K[t] x[p + t − anchor], tap by tap and pixel by pixel."""
    (kh, kw), (H, W) = K.shape[2:], x.shape[2:]
    y = np.zeros((len(x), len(K), H, W))
    for r, s, a, b in itertools.product(range(H), range(W), range(kh), range(kw)):
        row, column = r + a - (kh - 1) // 2, s + b - (kw - 1) // 2
        if padding == "circular" or (0 <= row < H and 0 <= column < W):
            y[:, :, r, s] += x[:, :, row % H, column % W] @ K[:, :, a, b].T
    return y


def correlation_matrix(K, H, W, padding):
    eye = np.eye(K.shape[1] * H * W).reshape(-1, K.shape[1], H, W)
    return correlation(K, eye, padding).reshape(len(eye), -1).T


def convolution_formula(block, x):
    images = x.reshape(len(x), -1, block.height, block.width)
    y = correlation(block.K.numpy(), images, block.padding) + block.b.numpy()[:, None, None]
    return y.reshape(len(x), -1)


def conv_residual_formula(block, x):
    P = correlation_matrix(block.K.numpy(), block.height, block.width, block.padding)
    D, b = (np.repeat(a.numpy(), block.pixels) for a in (block.D, block.b))
    return x - 2 * (D * np.tanh(x @ P.T + b)) @ P


def conv_residual_block():
    K, D, b = arrays((3, 2, 2, 3), (3,), (3,))
    return ConvResidual(K, D.abs(), b, Sigma.of(activation("tanh"), 36), 4, 3, "zero")


def conv_equilibrium_block(seed=0):
    """Two channels on 3×3 pixels; W = (1 − m)I − AᵀA of full size, so that (3) holds."""
    A, U, G, b_z, b_y = arrays((2, 2, 1, 1), (2, 1, 3, 2), (1, 2, 1, 1), (2,), (1,), seed=seed)
    W = -torch.einsum("kixy,kjxy->ijxy", A, A)
    W = torch.nn.functional.pad(W, (1, 1, 1, 1)) * 0.2
    W[:, :, 0, 2] += 0.05 * torch.eye(2, dtype=torch.float64)
    return ConvEquilibrium(W, U, G, b_z, b_y, Sigma.of(activation("tanh"), 18), 3, 3)


def conv_equilibrium_formula(block, x):
    W, U, G = (
        correlation_matrix(a.numpy(), block.height, block.width, "circular")
        for a in (block.W, block.U, block.G)
    )
    b_z, b_y = (np.repeat(a.numpy(), block.pixels) for a in (block.b_z, block.b_y))
    z = np.zeros((len(x), len(W)))
    for _ in range(6000):
        z = z + 0.02 * (np.tanh(z @ W.T + x @ U.T + b_z) - z)
    return z @ G.T + b_y


def padded_equilibrium_block(seed=0):
    """Two channels on 3×4 pixels, (7) with kernels of different sizes."""
    shapes = (2, 3, 4), (2, 1, 3, 1), (3, 2, 1, 3), (2, 2, 3, 3), (3, 24), (2,), (3,)
    psi, *rest = (0.5 * a for a in arrays(*shapes, seed=seed))
    return PaddedEquilibrium(psi.exp(), *rest, 0.75, 1.5, Sigma.of(activation("tanh"), 24))


def padded_equilibrium_formula(block, x):
    W, U, _, _ = written_out(block)
    b_z = np.repeat(block.b_z.numpy(), block.pixels)
    z = np.zeros((len(x), len(W)))
    for _ in range(3000):
        z = z + 0.02 * (np.tanh(z @ W.T + x @ U.T + b_z) - z)
    return z @ block.G.numpy().T + block.b_y.numpy()


def pooling_formula(block, x):
    k, image = block.window, x.reshape(len(x), block.channels, block.height, block.width)
    shape = (len(x), block.channels, block.height // k, k, block.width // k, k)
    return image.reshape(shape).sum(axis=(3, 5)).reshape(len(x), -1) / k


def group_sort_formula(block, x):
    y = x.copy()
    for start in range(0, block.d, block.group * block.stride):
        for offset in range(block.stride):
            index = start + offset + block.stride * np.arange(block.group)
            y[:, index] = -np.sort(-x[:, index], axis=1)
    return y


def window_formula(block, x):
    image = x.reshape(len(x), block.channels, block.height, block.width)
    phases = block.row_step, block.column_step
    y = np.zeros((len(x), block.channels, *phases, block.rows, block.columns))
    for a, b, i, j in np.ndindex(y.shape[2:]):
        row = block.top + block.row_step * i + a
        column = block.left + block.column_step * j + b
        if 0 <= row < block.height and 0 <= column < block.width:
            y[:, :, a, b, i, j] = image[:, :, row, column]
    return y.reshape(len(x), -1)


ROWS = {
    "normalize": (
        lambda: Normalize(*[a.abs() + 0.5 for a in arrays((d,), (d,))]),
        lambda block, x: (x - block.mean.numpy()) / block.std.numpy(),
    ),
    "affine": (
        lambda: Affine(*arrays((q, d), (q,))),
        lambda block, x: np.einsum("ij,bj->bi", block.W.numpy(), x) + block.b.numpy(),
    ),
    "activation": (lambda: Activation(SIGMA), lambda _, x: apply_sigma(x)),
    "residual": (residual_block, residual_formula),
    "equilibrium": (equilibrium_block, equilibrium_formula),
    "convolution": (
        lambda: Convolution(*arrays((2, 3, 3, 2), (2,)), 3, 4, "circular"),
        convolution_formula,
    ),
    "conv-residual": (conv_residual_block, conv_residual_formula),
    "conv-equilibrium": (conv_equilibrium_block, conv_equilibrium_formula),
    "padded-equilibrium": (padded_equilibrium_block, padded_equilibrium_formula),
    "pooling": (lambda: Pooling(2, 4, 6, 2), pooling_formula),
    "resize": (lambda: Resize(5, 3), lambda _, x: x[:, :3]),
    "group-sort": (lambda: GroupSort(12, 2, 3), group_sort_formula),
    "window": (lambda: Window(2, 4, 3, -1, 1, 3, 2, 2, 1), window_formula),
}
every_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def test_every_kind_has_a_row():
    assert set(ROWS) == set(KINDS)


@every_kind
def test_a_block_is_its_formula(kind):
    make, formula = ROWS[kind]
    block = make()
    x = points(7, block.in_width)
    evaluator = Evaluator(Network([block]))
    expected = formula(block, x)
    y = evaluator(torch.from_numpy(x))
    assert y.shape == (7, block.out_width)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9, atol=1e-9)
    alone, solution = evaluator.block(0, torch.from_numpy(x))
    assert torch.equal(alone, y)
    assert (solution is not None) == ("equilibrium" in kind)


@every_kind
def test_float32_follows_float64(kind):
    block = ROWS[kind][0]()
    x = torch.from_numpy(points(4, block.in_width))
    y = Evaluator(Network([block]), dtype=torch.float32)(x.float())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), Evaluator(Network([block]))(x), rtol=1e-4, atol=1e-4)


@every_kind
def test_the_gradient_in_x_is_that_of_central_differences(kind):
    block = ROWS[kind][0]()
    evaluator = Evaluator(Network([block]), tol=1e-13)
    x = torch.from_numpy(points(2, block.in_width))
    g, dx = (torch.from_numpy(points(2, w, 2)) for w in (block.out_width, block.in_width))
    x.requires_grad_()
    (slope,) = torch.autograd.grad((evaluator(x) * g).sum(), x)
    h = 1e-6
    with torch.no_grad():
        central = ((evaluator(x + h * dx) - evaluator(x - h * dx)) * g).sum() / (2 * h)
    assert float((slope * dx).sum()) == pytest.approx(float(central), rel=1e-6, abs=1e-7)


def network():
    affine = Affine(*arrays((q, q), (q,), seed=5))
    return Network([ROWS["normalize"][0](), equilibrium_block(), affine])


def test_a_network_is_the_composition_of_its_blocks():
    net = network()
    x = points(6, d)
    expected = x
    for block in net.blocks:
        expected = ROWS[block.kind][1](block, expected)
    y, solutions = Evaluator(net).run(torch.from_numpy(x))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9, atol=1e-9)
    assert list(solutions) == [1]
    assert solutions[1].converged
    assert solutions[1].z.shape == (6, n)


def test_starts_are_used_by_the_block_they_belong_to():
    evaluator = Evaluator(network())
    x = torch.from_numpy(points(6, d))
    y, solutions = evaluator.run(x)
    again, warm = evaluator.run(x, {1: solutions[1].z, 2: torch.full((1, 1), torch.nan)})
    assert warm[1].iterations == 0 < solutions[1].iterations
    torch.testing.assert_close(again, y, rtol=0, atol=1e-9)


def test_a_triangular_block_is_solved_by_substitution_and_gives_the_same():
    block = equilibrium_block(strict=True)
    assert isinstance(solver_for(block.W, block.sigma), Substitution)
    dense = equilibrium_block()
    assert isinstance(solver_for(dense.W, dense.sigma), PeacemanRachford)
    x = points(3, d)
    y = Evaluator(Network([block]))(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(y, equilibrium_formula(block, x), rtol=1e-9, atol=1e-9)


def test_a_block_whose_resolvent_is_singular_is_reported():
    one = torch.ones(1, 1, dtype=torch.float64)
    relu = Sigma.of(activation("relu"), 1)
    block = Equilibrium(2 * one, one, one, one[0], one[0], relu)
    with pytest.raises(InconclusiveError, match="singular"):
        Evaluator(Network([block]))
