"""Bugs of published implementations and of our own making: each is caught, and its honest twin passes.

A row plants one bug in what a producer claims. Proof, checker and falsifier look at the claim on their own;
the row says which of them have to catch it.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import (
    Claimed,
    affine,
    claim,
    equilibrium,
    inputs,
    lben_parts,
    linear,
    near_boundary,
    rows_of,
    tensor,
    tf32,
    with_bounds,
    with_radii,
)

from certlip.blocks import Activation, Network, Normalize, Residual, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification import Certifier, certify
from certlip.certification.enclosure.guesses import Guesses
from certlip.lmi import prove
from certlip.reparam import reparametrize
from certlip.solvers import Evaluator

ALL = {"proof", "checker", "falsifier"}


# --- bounds ---------------------------------------------------------------------------------------


def missing_root_two():
    """‖f_a − f_j‖ ≤ L: with logits that are coordinates the factor √2 is attained."""
    network = Network([affine(np.eye(3)), Activation(Sigma.of(ReLU(), 3))])
    honest = claim(network, 1.0 + np.abs(inputs(network)))
    return with_radii(honest, lambda r: np.sqrt(2.0) * r), honest


def normalised_units():
    """A radius in units of (x − mean)/std, called one in raw units."""
    std = 0.3
    net = Network([Normalize(tensor(np.full(6, 0.1)), tensor(np.full(6, std))), *linear(2).blocks])
    honest = claim(net, inputs(net))
    return with_radii(honest, lambda r: r / std * (1 - 1e-9)), honest


def dropped_layer():
    """A layer with L = 3 that the product leaves out."""
    net = Network([affine(3.0 * np.eye(6)), *linear(3).blocks])
    honest = claim(net, inputs(net))
    wrong = with_bounds(honest.proof, total=honest.proof.blocks[1].lip.value)
    bug = replace(with_radii(honest, lambda r: 3.0 * r * (1 - 1e-9)), proof=wrong)
    return bug, honest


def awake(W, D):
    """x − 2WDσ(Wᵀx + 50) + 2WD·50: all units are awake, so that this is x − 2WDWᵀx around the origin."""
    W, lift = np.asarray(W, dtype=np.float64), np.full(len(D), 50.0)
    block = Residual(tensor(W), tensor(D), tensor(lift), _relu(len(D)))
    return Network([block, affine(np.eye(len(W)), 2.0 * W @ (D * lift))])


def as_one_lipschitz(network, x):
    """The claim that a residual network has L = 1 because its D says so, and radii in proportion."""
    honest = claim(network, x)
    steep = honest.proof.blocks[0].lip.value
    proof = with_bounds(honest.proof, block0=1.0)
    proof = replace(proof, blocks=(replace(proof.blocks[0], delta=0.0), *proof.blocks[1:]))
    radii = with_radii(honest, lambda r: r * steep * (1 - 1e-9)).radii
    return Claimed(network, proof, honest.x, radii)


def constant_added_to_q():
    """1/(q + 10⁻⁶)·…·q: T too small by the factor 1 + 10⁻⁶/q."""
    w, q = np.array([[1.0], [-1.0]]), 1e-4
    D = 1.0 / (w.T @ w).diagonal()
    x = np.random.default_rng(0).standard_normal((40, 2))
    bug = as_one_lipschitz(awake(w, D * (1 + 1e-6 / q)), x)
    return bug, claim(awake(w, D), x)


def power_iteration():
    """CPL with a norm from below: three steps of the power iteration."""
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2.0)
    W = turn @ np.diag([1.0, 0.8])
    v = np.array([1.0, 6.0])
    for _ in range(3):
        v = W.T @ W @ v / np.linalg.norm(W.T @ W @ v)
    estimate, norm = np.linalg.norm(W @ v), np.linalg.norm(W, 2)
    assert 0.8 < estimate < 0.99 * norm
    x = np.random.default_rng(0).standard_normal((40, 2))
    bug = as_one_lipschitz(awake(W, np.full(2, estimate**-2)), x)
    return bug, claim(awake(W, np.full(2, norm**-2)), x)


# --- multipliers ----------------------------------------------------------------------------------


def claimed_of(parts, x, proof):
    """A wrong W under the proof and the radii of an honest one."""
    wrong = Network([equilibrium(**parts)])
    label = Evaluator(wrong)(torch.from_numpy(x)).argmax(dim=1).numpy()
    certifier = Certifier(wrong, proof)
    radii = certifier(x, label, keep_states=True)
    rows = radii.radius_lower > 0
    return Claimed(wrong, proof, x[rows], rows_of(radii, rows))


def v_times_v():
    """W rebuilt with V·V in place of VᵀV."""
    parts, V = lben_parts(1)
    honest = claim(Network([equilibrium(**parts)]), inputs(Network([equilibrium(**parts)])))
    wrong = parts["W"] + (V.T @ V - V @ V) / parts["lam"][:, None]
    assert np.linalg.eigvals(np.eye(6) - wrong).real.min() > 0  # its solver has an answer
    return claimed_of(parts | {"W": wrong}, inputs(honest.network), honest.proof), honest


def padded_channel():
    """A coordinate that a masked LMI leaves out, with a live row in U and a column in G."""
    parts, _ = lben_parts(2)
    x = inputs(Network([equilibrium(**parts)]))
    x -= x.mean(axis=1, keepdims=True) + 0.002  # where that coordinate is just asleep
    honest = claim(Network([equilibrium(**parts)]), x)
    wide = {
        "W": np.pad(parts["W"], ((0, 1), (0, 1))),
        "U": np.vstack([parts["U"], np.full((1, 4), 20.0)]),
        "G": np.hstack([parts["G"], [[-3.0], [3.0], [1.0]]]),
        "lam": np.append(parts["lam"], 1.0),
        "lip": parts["lip"],
        "b_z": np.append(parts["b_z"], 0.0),
        "b_y": parts["b_y"],
    }
    (own,) = honest.proof.blocks
    masked = replace(own, lam=np.append(own.lam, 1e-6), gam=np.append(own.gam, 1e-6))
    return claimed_of(wide, x, replace(honest.proof, blocks=(masked,))), honest


def negative_multiplier():
    """W = 2 and λ = −1: the matrix of (4) is positive definite, and the block has no equilibrium."""
    good, bad = (
        equilibrium([[w]], [[0.1]], [[1.0], [-1.0]], [1.0], 1.0, b_z=[1.0]) for w in (-2.0, 2.0)
    )
    x = np.random.default_rng(0).standard_normal((40, 1))
    honest = claim(Network([good]), x)
    (own,) = honest.proof.blocks
    wrong = replace(honest.proof, blocks=(replace(own, lam=-own.lam),))
    return replace(honest, network=Network([bad]), proof=wrong), honest


def sign_of_s():
    """The twin of an SLL network with S = +½M: another function under the radii of the first one."""
    rng = np.random.default_rng(0)
    blocks = []
    for _ in range(2):
        W = rng.standard_normal((4, 5))
        D = 0.999 / np.abs(W.T @ W).sum(axis=1)
        blocks.append(Residual(tensor(W), tensor(D), tensor(rng.standard_normal(5)), _relu(5)))
    right, wrong = (reparametrize(Network(blocks)) for _ in range(2))
    with torch.no_grad():
        wrong.lben.S.mul_(-1.0)
    for twin in (right, wrong):
        twin.lben.eps = 1e-6
    honest = claim(right.freeze(), inputs(right.freeze()))
    return replace(honest, network=wrong.freeze()), honest


def _relu(n):
    return Sigma.of(ReLU(), n)


# --- samples --------------------------------------------------------------------------------------


def loose_equilibrium():
    """Equilibria solved to 10⁻², the residual ignored."""
    parts, _ = lben_parts(3)
    net = Network([equilibrium(**parts | {"b_y": np.zeros(3)})])
    x = near_boundary(net)
    honest = claim(net, x)

    def loose(inputs, label, *, keep_states):
        certifier = Certifier(net, honest.proof)
        exact = certifier.encloser
        exact.guess = Guesses(net, torch.float64, "cpu", tol=1e-2)

        class Ignoring:
            """Residuals as small as they look."""

            def __call__(self, x):
                found = exact(x)
                return replace(found, error=np.zeros_like(found.error))

            def refined(self, _x, found, _wanted):
                return found

        certifier.encloser = Ignoring()
        label = exact(inputs).y.argmax(axis=1)
        return certifier(inputs, label, keep_states=keep_states)

    return claim(net, x, certifier=loose), honest


def tied_logits():
    """10⁻⁹ added to every margin: points on the decision boundary get a radius."""
    rng = np.random.default_rng(0)
    W = rng.integers(-3, 4, (2, 6)).astype(float)
    net = Network([affine(W)])
    w = W[0] - W[1]
    x = rng.integers(-5, 6, (60, 6)).astype(float)
    aside = x * (w @ w) - (x @ w)[:, None] * w  # whole numbers with equal logits
    honest = claim(net, x[np.abs(x @ w) > 0])
    lip = np.linalg.norm(w)

    def tied(inputs, label, *, keep_states):
        radii = certify(net, honest.proof, inputs, label, keep_states=keep_states)
        status = np.full(len(inputs), honest.radii.status[0], dtype=object)
        radius = radii.radius_lower + 1e-9 / lip
        return replace(radii, status=status, radius_lower=radius, predicted=label)

    return claim(net, aside, certifier=tied), honest


def label_off_by_one():
    """The class next to the certified one is written down."""
    net = linear(4, classes=3)
    honest = claim(net, inputs(net))
    shifted = (honest.radii.predicted + 1) % 3
    return replace(honest, radii=replace(honest.radii, predicted=shifted, label=shifted)), honest


def tf32_products():
    """A verified product that is computed with operands of 11 bits."""
    net = linear(5)
    coarse = Network([affine(tf32(net.blocks[0].W.numpy()), net.blocks[0].b.numpy())])
    x = near_boundary(net, 60)

    def rounded(inputs, label, *, keep_states):
        label = Evaluator(coarse)(torch.from_numpy(tf32(inputs))).argmax(dim=1).numpy()
        return certify(coarse, prove(coarse), tf32(inputs), label, keep_states=keep_states)

    return claim(net, x, certifier=rounded), claim(net, x)


BUGS = {
    "missing √2": (missing_root_two, {"checker", "falsifier"}),
    "ε in normalised units": (normalised_units, {"checker", "falsifier"}),
    "dropped layer": (dropped_layer, ALL),
    "equilibrium to 1e-2, residual ignored": (loose_equilibrium, {"checker", "falsifier"}),
    "tied logits": (tied_logits, {"checker", "falsifier"}),
    "sign of S": (sign_of_s, {"checker", "falsifier"}),
    "V·V for VᵀV": (v_times_v, {"proof", "checker"}),
    "padded channel with a live row in U": (padded_channel, ALL),
    "q + 1e-6 in T": (constant_added_to_q, ALL),
    "power-iteration norm": (power_iteration, ALL),
    "TF32 in the verified product": (tf32_products, {"checker", "falsifier"}),
    "Λ with a negative entry": (negative_multiplier, {"proof", "checker"}),
    "label off by one": (label_off_by_one, {"checker", "falsifier"}),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught_and_its_twin_passes(name, tmp_path):
    plant, expected = BUGS[name]
    bug, twin = plant()
    assert twin.caught(tmp_path / "twin.certlip") == set()
    assert bug.caught(tmp_path / "bug.certlip") >= expected


# --- reduced precision where nothing depends on it ------------------------------------------------


def guessed_by(network, x, guess):
    """The claim of a certification whose equilibria are guessed by another network."""
    proof = prove(network)

    def certifier(inputs, label, *, keep_states):
        own = Certifier(network, proof)
        own.encloser.guess = own.encloser.fine = Guesses(guess, torch.float64, "cpu")
        return own(inputs, label, keep_states=keep_states)

    return claim(network, x, proof=proof, certifier=certifier)


def test_tf32_in_a_guess_costs_radius_and_no_soundness(tmp_path):
    parts, _ = lben_parts(3)
    network = Network([equilibrium(**parts)])
    coarse = {k: tf32(v) for k, v in parts.items() if k not in ("lam", "lip")}
    rough = Network([equilibrium(**parts | coarse)])
    x = inputs(network)
    honest, guessed = claim(network, x), guessed_by(network, x, rough)
    assert guessed.caught(tmp_path / "c.certlip") == set()
    assert (guessed.radii.residual > 1e-5).all()
    kept = np.isin(honest.x[:, 0], guessed.x[:, 0])
    lost = honest.radii.radius_lower[kept] - guessed.radii.radius_lower
    assert (lost > 0.0).all()


def test_settings_of_reduced_precision_change_no_bit_of_a_certification():
    parts, _ = lben_parts(4)
    network = Network(
        [Normalize(tensor(np.zeros(4)), tensor(np.full(4, 0.7))), equilibrium(**parts)]
    )
    x = inputs(network)
    before = claim(network, x)
    allowed = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.backends.cuda.matmul.allow_tf32  # the older name of the same setting
        after = claim(network, x)
    finally:
        torch.set_float32_matmul_precision(allowed)
    assert after.proof.lip.value == before.proof.lip.value
    for name in ("predicted", "radius_lower", "margin_lower", "residual"):
        np.testing.assert_array_equal(getattr(after.radii, name), getattr(before.radii, name))


def test_tf32_rounds_to_eleven_bits():
    x = np.random.default_rng(0).standard_normal(1000)
    error = np.abs(tf32(x) - x) / np.abs(x)
    assert 2.0**-13 < error.max() <= 2.0**-11
    assert tf32(1.0 + 2.0**-10) == 1.0 + 2.0**-10
    assert tf32(1.0 + 2.0**-12) == 1.0
