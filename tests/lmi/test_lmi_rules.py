"""The rules: every proven bound is at least the truth, and false claims are refused."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from lmi_nets import block_of, largest_pattern_slope, mondeq_block, parts_with_margin

from certlip.blocks import Activation, Affine, Network, Normalize, Origin, Residual, Sigma
from certlip.blocks.activations import LeakyReLU, ReLU
from certlip.errors import InconclusiveError, InputError, RejectedError, UnsupportedError
from certlip.lmi import prove
from certlip.lmi.rules.equilibrium import prove_equilibrium
from certlip.lmi.rules.residual import prove_residual
from certlip.lmi.search import Search

SCALES = (1e-3, 0.3, 1.0, 30.0)


def proven(block, **options):
    return prove(Network([block]), **options).blocks[0]


def residual_block(W, D, b=None):
    W, D = torch.as_tensor(W).double(), torch.as_tensor(D).double()
    b = torch.zeros(len(D)).double() if b is None else torch.as_tensor(b)
    return Residual(W, D, b, Sigma.of(ReLU(), len(D)))


def residual_slope(block):
    """max ‖I − 2WDJWᵀ‖₂ over J = 0, J = I and 200 random patterns: a lower bound of the truth."""
    W, D = block.W.numpy(), block.D.numpy()
    rng = np.random.default_rng(0)
    masks = [np.ones(len(D)), *rng.integers(0, 2, (200, len(D)))]
    return max(np.linalg.norm(np.eye(len(W)) - 2 * (W * D * J) @ W.T, 2) for J in masks)


# --- equilibrium -------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seed", range(3))
def test_equilibrium_bound_is_at_least_the_slope_of_every_pattern(seed, scale):
    parts, _ = parts_with_margin(seed, scale=scale, lip=scale)
    own = proven(block_of(**parts, lip=scale))
    assert largest_pattern_slope(block_of(**parts)) <= own.lip.value <= scale * (1 + 1e-6)
    assert own.mu is not None
    assert own.mu.value > 0


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seed", range(3))
def test_mondeq_bound_is_norm_u_norm_g_over_m_and_at_least_the_truth(seed, scale):
    block = mondeq_block(seed, scale=scale)
    own = proven(block)
    claimed = np.linalg.norm(block.U.numpy(), 2) * np.linalg.norm(block.G.numpy(), 2) / 0.5
    assert own.lip.value == pytest.approx(claimed, rel=1e-9)
    assert own.lip.value >= largest_pattern_slope(block)


def test_mondeq_boundary_case_needs_only_a_nudge():
    eye = np.eye(4)  # A = B = 0, U = G = I: (10) is singular at L = 1/m exactly
    own = proven(block_of(0.5 * eye, eye, eye, origin=Origin("mondeq", {"m": 0.5})))
    assert 2.0 <= own.lip.value <= 2.0 * (1 + 1e-9)


@pytest.mark.parametrize("zero", ["U", "G"])
def test_mondeq_constant_map_has_a_tiny_bound(zero):
    arrays = {"W": -np.eye(3), "U": np.eye(3), "G": np.eye(3)} | {zero: np.zeros((3, 3))}
    assert proven(block_of(**arrays, origin=Origin("mondeq", {"m": 2.0}))).lip.value < 1e-6


def test_difference_of_shifted_relus_has_a_bound_of_at_least_its_slope():
    # f = relu(x) − relu(x − 1); coupled multipliers would "prove" 8e-6
    W, U, G = np.zeros((2, 2)), np.ones((2, 1)), np.array([[1.0, -1.0]])
    block = block_of(W, U, G, np.ones(2), 1.0, b_z=[0.0, -1.0])
    assert 1.0 <= proven(block).lip.value <= 1.0 + 1e-9
    with pytest.raises(RejectedError, match=r"\(10\) with L = 0.99"):
        proven(block, lip=0.99)


@pytest.mark.parametrize("w", [1.5, 2.0, 100.0])
@pytest.mark.parametrize("family", ["mondeq", "lben"])
def test_ill_posed_block_is_rejected(w, family):
    vectors = {"psi": torch.ones(2).double()}
    origin = Origin(family, {"m": 0.5, "lip": 1.0}, vectors)
    with pytest.raises(RejectedError, match=r"block 0 \(equilibrium\): \(3\) does not hold"):
        proven(block_of(np.diag([w, 0.0]), np.eye(2), np.eye(2), origin=origin))


def test_well_posed_by_luck_alone_is_not_called_well_posed():
    with pytest.raises((RejectedError, InconclusiveError)):  # (3) is exactly singular: μ = 0
        proven(block_of(np.eye(2), np.eye(2), np.eye(2), np.ones(2)))


def test_minus_sign_of_the_positive_part_is_rejected():
    parts, V = parts_with_margin(0)
    wrong = parts | {"W": parts["W"] + 2 * V.T @ V / parts["lam"][:, None]}
    with pytest.raises(RejectedError):
        proven(block_of(**wrong, lip=2.0))


@pytest.mark.parametrize(
    "psi",
    [
        [1.0, 1.0, 1.0, 1.0],
        [1.0, 1.0, -1.0, 1.0, 1.0],
        [1.0, 0.0, 1.0, 1.0, 1.0],
        [1.0, np.nan, 1.0, 1.0, 1.0],
        [[1.0] * 5],
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_multipliers_of_the_wrong_size_or_sign_are_refused(psi):
    parts, _ = parts_with_margin(0)
    with pytest.raises(InputError, match=r"not 5 positive numbers|expected"):
        proven(block_of(**parts | {"lam": 1 / np.array(psi)}, lip=2.0))


@pytest.mark.parametrize(
    ("origin", "error", "match"),
    [
        (("other",), InputError, "expected one of lben, mondeq"),
        (("mondeq",), InputError, "does not store 'm'"),
        (("lben", {"lip": 1.0}), InputError, "does not store 'psi'"),
        (("mondeq", {"m": 0.0}), InputError, "m = 0.0"),
        (("mondeq", {"m": -1.0}), InputError, "m = -1.0"),
        (("mondeq", {"m": np.nan}), InputError, "m"),
        (("lben", {"lip": 0.0}, {"psi": torch.ones(2).double()}), InputError, "L = 0.0"),
        (("lben", {"lip": np.nan}, {"psi": torch.ones(2).double()}), InputError, "nan"),
    ],
)
def test_an_origin_that_says_too_little_is_refused(origin, error, match):
    with pytest.raises(error, match=match):
        proven(block_of(np.zeros((2, 2)), np.eye(2), np.eye(2), origin=Origin(*origin)))


def test_a_block_of_unknown_origin_has_no_formula_but_the_solver_finds_multipliers():
    block = block_of(np.zeros((2, 2)), np.eye(2), np.eye(2))
    with pytest.raises(InconclusiveError, match="unknown origin"):
        prove_equilibrium(block, search=Search("analytic"))
    proof = prove_equilibrium(block)
    assert proof.method == "structured"
    assert 1.0 <= proof.lip.value <= 1.0 + 1e-5


@pytest.mark.parametrize("claim", [1.0, 0.4, 3.0])
def test_prescribed_bound_below_the_truth_is_rejected_and_above_it_proven(claim):
    w, u, g = -0.5, 1.5, 2.0
    true = g * u / (1 - w)
    block = block_of([[w]], [[u]], [[g]], np.array([true * (1 - w) / u**2]), claim * true)
    with pytest.raises(RejectedError, match="does not hold"):
        proven(block, lip=0.999999 * true)
    for lip in (1.000001 * true, np.float64(1.1 * true)):
        assert proven(block, lip=lip).lip.value == lip
        assert str(proven(block, lip=lip).lip) == repr(float(lip))
    # without a prescription, a false claim of the family is corrected to 0.1 %
    assert true <= proven(block).lip.value <= max(claim, 1.0) * true * 1.002


@pytest.mark.parametrize("lip", [0.0, -1.0, np.nan, np.inf])
def test_prescribed_bound_must_be_positive_and_finite(lip):
    with pytest.raises(InputError, match="positive and finite"):
        proven(mondeq_block(0), lip=lip)


def test_masked_padding_cannot_hide_live_coordinates():
    # a row that the LMI would mask (λ = 0) acts through U and G with slope 50
    parts, _ = parts_with_margin(1)
    lam = np.append(parts["lam"], 0.0)
    W = np.pad(parts["W"], ((0, 1), (0, 1)))
    U, G = np.vstack([parts["U"], 50 * np.eye(4)[:1]]), np.hstack([parts["G"], np.ones((3, 1))])
    with pytest.raises(InputError, match=r"not 6 positive numbers|expected finite"):
        proven(block_of(W, U, G, lam, 2.0))
    lam[-1] = 1e-6
    with pytest.raises(RejectedError, match=r"\(10\) with L = 2.0"):
        proven(block_of(W, U, G, lam, 2.0), lip=2.0)
    truth = largest_pattern_slope(block_of(W, U, G))
    lam[-1] = 1.0
    assert truth > 50
    assert proven(block_of(W, U, G, lam, 2.0)).lip.value >= truth


# --- residual ------------------------------------------------------------------------------------


def sll(seed, d=6, k=9, scale=1.0, spread=1.0):
    rng = np.random.default_rng(seed)
    W, q = scale * rng.standard_normal((d, k)), np.exp(spread * rng.standard_normal(k))
    return W, q, np.abs(W.T @ W) @ q / q


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(6, 9), (9, 4), (1, 1), (3, 40)])
def test_sll_is_one_lipschitz_after_the_nudge(shape, scale):
    W, _, T = sll(0, *shape, scale)
    own = prove_residual(residual_block(W, (1 - 1e-9) / T))
    assert own.lip.value == 1.0
    assert own.delta == 0.0


@pytest.mark.parametrize(("q", "least"), [(1e-4, 1.01), (1e-6, 2.9)])
def test_sll_with_a_constant_added_to_q_is_caught(q, least):
    # 1/(q + 10⁻⁶)·…·q makes T too small by 1 + 10⁻⁶/q; orthogonal columns make the rule tight
    W = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    block = residual_block(W, np.full(5, 1 + 1e-6 / q))
    assert least < residual_slope(block) <= prove_residual(block).lip.value
    assert prove_residual(block).lip.value < 1.05 * residual_slope(block)


@pytest.mark.parametrize("factor", [1.0001, 2.0, 17.0])
def test_multipliers_that_are_too_large_raise_the_bound(factor):
    W, _, _ = sll(1)
    block = residual_block(W, np.full(9, factor / np.linalg.norm(W, 2) ** 2))
    assert 1.0 < residual_slope(block) <= prove_residual(block).lip.value


def test_power_iteration_from_below_is_no_bound():
    W = np.diag([1.0, 0.999])
    v = np.array([0.1, 1.0])
    for _ in range(20):
        v = W.T @ W @ v / np.linalg.norm(W.T @ W @ v)
    block = residual_block(W, np.full(2, 1 / np.linalg.norm(W @ v) ** 2))
    assert 1.0 < residual_slope(block) <= prove_residual(block).lip.value


def test_absurdly_large_multipliers_are_rejected():
    with pytest.raises(RejectedError, match="D is far too large"):
        prove_residual(residual_block(np.eye(3), np.full(3, 1e6)))


def test_zero_columns_and_dead_multipliers_do_not_act():
    W, _, T = sll(2)
    W[:, [0, 4]] = 0.0
    D = np.where(np.arange(9) % 4 == 0, 0.0, (1 - 1e-9) / T)
    assert prove_residual(residual_block(W, D)).lip.value == 1.0
    assert prove_residual(residual_block(W, np.zeros(9))).lip.value == 1.0
    D[0] = 1e9  # live, on a zero column: harmless in truth, and still nothing may be proven falsely
    assert prove_residual(residual_block(W, D)).lip.value >= 1.0


# --- the others, and the whole network -----------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 4), (4, 1), (20, 20)])
def test_affine_bound_is_the_spectral_norm_from_above(shape, scale):
    W = scale * np.random.default_rng(0).standard_normal(shape)
    lip = proven(Affine(torch.tensor(W), torch.zeros(shape[0]).double())).lip.value
    true = np.linalg.svd(W, compute_uv=False)[0]
    assert true * (1 - 1e-14) <= lip <= true * (1 + 1e-9)


def test_truncation_and_padding_have_norm_exactly_one():
    eye = torch.eye(7).double()
    for W in (eye[:3], eye[:, :3]):
        assert proven(Affine(W, torch.zeros(len(W)).double())).lip.value == 1.0


@pytest.mark.parametrize("std", [0.3081, 1.0, 1 / 3, 7.3, 49.0, 0.1, 2.0**-40 * 1.3])
def test_normalization_bound_is_one_over_the_smallest_deviation_from_above(std):
    block = Normalize(torch.zeros(2).double(), torch.tensor([std, 2 * std], dtype=torch.float64))
    lip = proven(block).lip.value
    assert Fraction(lip) * Fraction(std) >= 1  # 1/49, rounded to nearest, is below
    assert Fraction(float(np.nextafter(lip, 0.0))) * Fraction(std) < 1


def test_activation_bound_is_one():
    assert proven(Activation(Sigma.of(LeakyReLU(0.2), 3))).lip.value == 1.0


def network_of_three():
    normalize = Normalize(torch.zeros(4).double(), torch.full((4,), 0.5).double())
    return Network(
        [normalize, mondeq_block(0), Affine(torch.eye(3).double(), torch.zeros(3).double())]
    )


def test_network_bound_is_the_product_and_the_bounds_behind_a_block():
    proof = prove(network_of_three())
    middle = proof.blocks[1].lip.value
    assert proof.lip.value == pytest.approx(2.0 * middle, rel=1e-12)
    assert [proof.after(k).value for k in (0, 2)] == [middle, 1.0]
    assert proof.before_last().value == proof.lip.value


def test_prescribed_bound_needs_exactly_one_equilibrium():
    with pytest.raises(UnsupportedError, match="has 0"):
        prove(Network(network_of_three().blocks[:1]), lip=1.0)
    square = mondeq_block(0, d=3)
    with pytest.raises(UnsupportedError, match="has 2"):
        prove(Network([square, square]), lip=1.0)


def test_a_kind_of_block_without_a_rule_is_unsupported():
    class Other(Affine):
        pass

    with pytest.raises(UnsupportedError, match="no rule"):
        proven(Other(torch.eye(2).double(), torch.zeros(2).double()))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("huge", [1e200, 1e308])
def test_overflow_is_inconclusive_and_never_a_bound(huge):
    zero = torch.zeros(2).double()
    matrix = torch.from_numpy(np.full((2, 2), huge))
    with pytest.raises(InconclusiveError):
        prove(Network([Affine(matrix, zero), Affine(matrix, zero)]))
    with pytest.raises(InconclusiveError, match="above the largest double"):
        proven(Normalize(zero, torch.from_numpy(np.full(2, 1e-310))))
    with pytest.raises((InconclusiveError, RejectedError)):
        proven(block_of(-matrix.numpy(), np.eye(2), np.eye(2), np.full(2, huge)))
