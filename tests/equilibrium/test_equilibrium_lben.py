"""LBEN: Lipschitz for every value of its parameters, and its gradients are the true ones."""

import itertools

import numpy as np
import pytest
import torch

from certlip.blocks import Equilibrium, Network, Origin, Sigma
from certlip.blocks.activations import ELU, Identity, LeakyReLU, ReLU, Tanh
from certlip.equilibrium import LBEN
from certlip.errors import InputError, RejectedError
from certlip.lmi import prove
from certlip.solvers import Evaluator

NAMES = ("log_psi", "U", "G", "V", "S", "b_z", "b_y")


def parts(seed, n=6, d=4, q=3):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"log_psi": (n,), "U": (n, d), "G": (q, n), "V": (n, n), "S": (n, n), "b_z": (n,)}
    values = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in {**shapes, "b_y": (q,)}.items()
    }
    return {**values, "sigma": Sigma.of(ReLU(), n)}


def pattern_slope(block):
    """max ‖G(I − JW)⁻¹JU‖₂ over all ReLU patterns."""
    W, U, G = (getattr(block, name).numpy() for name in "WUG")
    eye = np.eye(len(W))
    patterns = (np.diag(p) for p in itertools.product((0.0, 1.0), repeat=len(W)))
    return max(np.linalg.norm(G @ np.linalg.solve(eye - J @ W, J @ U), 2) for J in patterns)


@pytest.mark.parametrize("size", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("lip", [0.05, 1.0, 40.0])
def test_bound_survives_large_changes_of_all_parameters(size, lip):
    layer = LBEN(**parts(0), lip=lip, eps=1e-9)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        with torch.no_grad():
            for name in NAMES:
                p = getattr(layer, name)
                step = min(size, 1.0) if name == "log_psi" else size
                p.add_(step * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        block = layer.freeze()
        proven = prove(Network([block])).lip.value
        assert pattern_slope(block) <= proven <= lip * (1 + 1e-6)
        np.testing.assert_allclose(block.W.numpy(), layer.weight().detach().numpy())


def test_left_side_of_4_is_twice_v_transposed_v():
    layer = LBEN(**parts(2), lip=2.0, eps=0.01)
    lam, U, G, V = ((-layer.log_psi).exp(), layer.U, layer.G, layer.V)
    lam_W, lam_U = lam[:, None] * layer.weight(), lam[:, None] * U
    left = 2 * torch.diag(lam) - lam_W - lam_W.T - (G.T @ G + lam_U @ lam_U.T) / 2.0
    eye = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(left, 2 * V.T @ V + 2 * 0.01 * eye)


def test_v_times_v_in_place_of_its_gram_matrix_is_rejected():
    # the published code: right at the start, where V is symmetric, and wrong after a step
    values = parts(3)
    V = values["V"] = values["V"] @ values["V"].T / 6
    generator = torch.Generator().manual_seed(0)
    for step, sound in ((0.0, True), (0.3, False)):
        trained = V + step * torch.randn(6, 6, generator=generator, dtype=torch.float64)
        right = LBEN(**{**values, "V": trained}, lip=1.0).freeze()
        psi = right.origin.vectors["psi"]
        W = right.W + psi[:, None] * (trained.T @ trained - trained @ trained)
        origin = Origin("lben", {"lip": 1.0}, {"psi": psi})
        rest = (right.U, right.G, right.b_z, right.b_y, right.sigma, origin)
        assert prove(Network([right])).lip.value <= 1 + 1e-6
        if sound:
            assert prove(Network([Equilibrium(W, *rest)])).lip.value <= 1 + 1e-6
        else:
            with pytest.raises(RejectedError):
                prove(Network([Equilibrium(W, *rest)]), lip=1.0)


@pytest.mark.parametrize("kind", [ReLU(), LeakyReLU(0.2), Tanh(), ELU(0.8), Identity()])
def test_gradients_of_all_parameters_match_finite_differences(kind):
    layer = LBEN(**{**parts(4), "sigma": Sigma.of(kind, 6)}, lip=1.5, eps=0.1)
    rng = np.random.default_rng(0)
    x, weight = (torch.tensor(rng.standard_normal(s)) for s in ((5, 4), (5, 3)))

    def value():
        return (layer(x) * weight).sum()

    value().backward()
    for name in NAMES:
        p = getattr(layer, name)
        direction = torch.tensor(rng.standard_normal(tuple(p.shape)))
        h, ends = 1e-5, []
        for sign in (1, -2, 1):
            with torch.no_grad():
                p.add_(sign * h * direction)
                ends.append(float(value()))
        slope = float((p.grad * direction).sum())
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-7)


def test_layer_and_frozen_block_agree_and_report_the_solution():
    layer = LBEN(**parts(5), lip=1.0, eps=1e-6)
    x = torch.tensor(np.random.default_rng(0).standard_normal((20, 4)))
    y = layer(x)
    assert layer.last_solution is not None
    assert layer.last_solution.converged
    torch.testing.assert_close(Evaluator(Network([layer.freeze()]))(x), y, rtol=1e-8, atol=1e-8)


def test_a_frozen_block_does_not_follow_training():
    # float64 parameters on the CPU: without a copy, an optimizer step would change a proven block
    layer = LBEN(**parts(6), eps=1e-9)
    block = layer.freeze()
    digest = Network([block]).sha256()
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(7.0)
    assert Network([block]).sha256() == digest
    assert prove(Network([block])).lip.value <= 1 + 1e-6


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lip": 0.0}, "L = 0.0"),
        ({"lip": -1.0}, "L = -1.0"),
        ({"lip": float("nan")}, "L = nan"),
        ({"lip": float("inf")}, "L = inf"),
        ({"eps": -1e-9}, "ε = -1e-09"),
        ({"eps": float("nan")}, "ε = nan"),
        ({"log_psi": torch.zeros(5)}, "U has shape"),
        ({"log_psi": torch.zeros(6, 1)}, "log_psi, U, G have shapes"),
        ({"U": torch.zeros(5, 4)}, "U has shape"),
        ({"G": torch.zeros(3, 5)}, "G has shape"),
        ({"V": torch.zeros(6, 5)}, "V has shape"),
        ({"S": torch.zeros(5, 6)}, "S has shape"),
        ({"b_z": torch.zeros(5)}, "b_z has shape"),
        ({"b_y": torch.zeros(4)}, "b_y has shape"),
        ({"sigma": Sigma.of(ReLU(), 5)}, "σ has 5 coordinates"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(change, match):
    with pytest.raises(InputError, match=match):
        LBEN(**{**parts(7), **change})


@pytest.mark.parametrize("name", NAMES)
def test_a_diverged_layer_is_not_frozen(name):
    layer = LBEN(**parts(8))
    with torch.no_grad():
        getattr(layer, name).view(-1)[0] = torch.nan
    with pytest.raises(InputError, match="expected finite"):
        layer.freeze()
