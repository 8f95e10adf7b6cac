"""Attempts to prove something false about a convolutional block, each against exact or dense truth."""

import math
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from conv_nets import conv_lben, conv_mondeq, conv_residual, convolution, matrix, relu, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import ConvEquilibrium, Network, Origin, Sigma
from certlip.blocks.activations import Identity
from certlip.blocks.dense_form import dense_form
from certlip.errors import InconclusiveError, RejectedError
from certlip.linalg.rigorous import frequencies
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.frequencies import Spectrum, chunks
from certlip.linalg.rigorous.roots import roots_of_unity
from certlip.lmi import prove
from certlip.lmi.everywhere import Everywhere, _inverse_root, _root

seeds = st.integers(0, 2**32 - 1)


def proven(block, **options):
    return prove(Network([block]), **options).blocks[0]


# --- the boundary, in rational arithmetic ---------------------------------------------------------
# one channel and taps ≥ 0: the largest |K̂(f)| is ΣK, attained by constant images


def kernel(taps, height=1):
    return tensor(np.reshape(taps, (1, 1, height, -1)))


positive = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4)


def total(taps):
    return sum(map(Fraction, taps))


@given(taps=positive, extra=st.integers(0, 3), exponent=st.sampled_from([0, 300, -300, -1060]))
def test_the_norm_of_a_positive_kernel_is_at_least_the_exact_sum(taps, extra, exponent):
    taps = np.ldexp(taps, exponent).tolist()  # may round: the taps are what they then are
    width = len(taps) + extra
    block = replace(convolution(0, 1, 1, (1, 1), 1, width), K=kernel(taps))
    assert Fraction(proven(block).lip.value) >= total(taps)


@given(taps=positive, steps=st.integers(-3, 40), extra=st.integers(0, 3))
def test_a_residual_step_is_never_proven_shorter_than_it_is(taps, steps, extra):
    # x ↦ x − 2DKᵀKx, for constant images (1 − 2D(ΣK)²)x: above 1 in size as soon as D(ΣK)² is
    D = float(1 / total(taps) ** 2) * (1 + steps * 2.0**-52)
    width = len(taps) + extra
    block = replace(conv_residual(0, 1, 1, (1, 1), 1, width), K=kernel(taps), D=tensor([D]))
    assert Fraction(proven(block).lip.value) >= abs(1 - 2 * Fraction(D) * total(taps) ** 2)


@pytest.mark.parametrize("share", np.linspace(1.03, 2.0, 6))
def test_the_printed_condition_claims_no_more_than_is_proven(share):
    block = conv_residual(0, share=share)
    for each in (block, *dense_form(block)):
        own = proven(each)
        (printed,) = re.findall(r"\(1 \+ (.*)\)D$", own.condition)
        assert float(printed) == own.delta > 0.0
        assert Fraction(own.lip.value) ** 2 >= 1 + 4 * Fraction(own.delta) * (
            1 + Fraction(own.delta)
        )


@pytest.mark.parametrize("steep", [0, 1])
@pytest.mark.parametrize("padding", ["circular", "zero"])
def test_a_channel_counts_however_small_its_d(steep, padding):
    # x − 2KᵀDKx with K = diag(k) and k²D = 1/2 in one channel, 3 in the other: there x − 6x
    k = np.array([1e6, 1e-6])
    D = np.where(np.arange(2) == steep, 3.0, 0.5) / k**2
    K = tensor(np.diag(k)[:, :, None, None])
    block = replace(conv_residual(0, 2, 2, (1, 1), 2, 2, padding), K=K, D=tensor(D))
    assert 5 * (1 - 1e-12) <= proven(block).lip.value <= 5.01


def symmetric_equilibrium(centre, side, width, u=1.0, g=1.0, *, lip=None, psi=1.0):
    """z = Wz + ux, y = gz with the taps (side, centre, side) of W: slope g·u/(1 − ΣW) if all are ≥ 0."""
    zero, origin = tensor([0.0]), Origin("lben", {"lip": lip or 1.0}, {"psi": tensor([psi])})
    sigma = Sigma.of(Identity(), width)
    W = kernel([side, centre, side])
    return ConvEquilibrium(W, kernel([u]), kernel([g]), zero, zero, sigma, 1, width, origin)


@given(
    centre=st.floats(0.0, 0.5),
    side=st.floats(0.0, 0.2),
    u=st.floats(0.1, 10.0),
    g=st.floats(0.1, 10.0),
    width=st.integers(3, 6),
)
def test_no_bound_below_the_exact_slope_and_no_margin_above_the_exact_one(
    centre, side, u, g, width
):
    room = 1 - Fraction(centre) - 2 * Fraction(side)
    slope = Fraction(g) * Fraction(u) / room
    # the multiplier that makes (10) tight for constant images: λ = g/u, at L = g·u/(1 − ΣW)
    below = float(slope)
    below = below if Fraction(below) < slope else math.nextafter(below, 0.0)
    block = symmetric_equilibrium(centre, side, width, u, g, lip=below, psi=u / g)
    with pytest.raises((InconclusiveError, RejectedError)):
        proven(block, lip=below)
    own = proven(block)
    assert Fraction(own.lip.value) >= slope
    assert own.lip.value <= float(slope) * (1 + 1e-9)
    assert Fraction(own.mu.value) <= room
    # a claim far below is raised to what is proven, and not by much more
    own = proven(symmetric_equilibrium(centre, side, width, u, g, lip=0.6 * below, psi=u / g))
    assert slope <= Fraction(own.lip.value) <= slope * Fraction(101, 100)


def test_a_block_that_is_not_well_posed_by_one_unit_in_the_last_place_is_refused():
    for centre in (0.5, math.nextafter(0.5, 1.0)):  # ΣW = 1, and just above
        with pytest.raises((InconclusiveError, RejectedError), match=r"\(3\)"):
            proven(symmetric_equilibrium(centre, 0.25, 4, lip=1e6), lip=1e12)


# --- every frequency, in every chunk --------------------------------------------------------------


def wave(f, height, width):
    """The kernel (1, 1, H, W) with K̂ = 1 at the frequency f and its conjugate, and 0 elsewhere."""
    rows, columns = ((np.arange(n) - (n - 1) // 2) / n for n in (height, width))
    K = np.cos(2 * np.pi * (f[0] * rows[:, None] + f[1] * columns[None, :]))
    alone = 2 * f[0] % height == 0 and 2 * f[1] % width == 0
    return tensor(K[None, None] * ((1 if alone else 2) / (height * width)))


@pytest.mark.parametrize("step", [1, 2, 1000])
@pytest.mark.parametrize("sides", [(1, 1), (1, 4), (4, 1), (2, 2), (3, 3), (4, 3)])
def test_a_single_frequency_decides_wherever_it_lies(sides, step, monkeypatch):
    monkeypatch.setattr(frequencies, "CHUNK", 4 * step)  # kernels of one channel
    H, W = sides
    one, zero = tensor([[[[1.0]]]]), tensor([0.0])
    origin = Origin("lben", {"lip": 1.0}, {"psi": tensor([1.0])})
    for f in np.ndindex(H // 2 + 1, W):
        K = wave(f, H, W)
        assert proven(replace(convolution(0, 1, 1, (1, 1), H, W), K=K)).lip.value >= 1 - 1e-12
        far = conv_residual(0, 1, 1, (1, 1), H, W)
        far = proven(replace(far, K=K, D=tensor([1.5])))
        assert far.lip.value >= 2 - 1e-9  # x − 2·1.5x
        parts = zero, zero, relu(1, H, W), H, W, origin
        with pytest.raises(RejectedError, match=r"\(3\)"):
            proven(ConvEquilibrium(2.0 * K, one, one, *parts))
        for U, G in ((K, one), (one, K)):
            with pytest.raises(RejectedError, match=r"\(10\)"):
                proven(ConvEquilibrium(0.0 * one, U, G, *parts), lip=0.9)
        norms = proven(ConvEquilibrium(0.5 * K, 0.1 * one, K, *parts))
        assert norms.gam_root_G.value >= 1 - 1e-12
        assert norms.gam_W.value >= 0.5 - 1e-12


@given(count=st.integers(1, 200), entries=st.integers(1, 50), chunk=st.integers(1, 5000))
def test_chunks_are_all_frequencies_once(count, entries, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frequencies, "CHUNK", chunk)
        found = [f for part in chunks(count, entries) for f in range(count)[part]]
    assert found == list(range(count))


# --- radii ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("working", [1, 2**22])
def test_the_radius_is_that_of_the_worst_frequency_and_part(flip, working, monkeypatch):
    # K̂ = 1 ± 2⁻⁶⁰ at frequencies 0 and 2, rounded to 1; purely imaginary at 1 and 3
    monkeypatch.setattr(frequencies, "_WORKING", working)
    K = np.zeros((2, 2, 1, 3))
    K[1, 0, 0] = [1.0, 0.0, 2.0**-60]
    for turned in (K, K[:, :, :, ::-1]):
        spectrum = Spectrum(
            turned.swapaxes(2, 3) if flip else turned, *((4, 1) if flip else (1, 4))
        )
        assert spectrum.rad[1, 0] >= 2.0**-60
        assert spectrum.rad[1, 0] <= 1e-14
        assert np.count_nonzero(spectrum.rad) == 1  # sums of zeros are exact
    # a torus of two pixels has real blocks: imaginary parts are exact, real ones are not
    two = K[1:, :1, :, ::2]
    spectrum = Spectrum(two.swapaxes(2, 3) if flip else two, *((2, 1) if flip else (1, 2)))
    assert not spectrum.B.any()
    assert 2.0**-60 <= spectrum.rad[0, 0] <= 1e-14


def coarse(n):
    """Roots of unity that are off by 1e-3, and say so."""
    rng = np.random.default_rng(n)
    return tuple(
        Ball(part.mid + 1e-3 * rng.choice([-1, 1], n), np.full(n, 1.001e-3))
        for part in roots_of_unity(n)
    )


@pytest.fixture
def coarsely(monkeypatch):
    """Roots of unity that are all too short by 1e-3, and say so: every norm looks smaller than it is."""

    def short(n):
        return tuple(Ball(0.999 * p.mid, np.full(n, 1.001e-3)) for p in roots_of_unity(n))

    monkeypatch.setattr(frequencies, "roots_of_unity", short)


@settings(max_examples=20)
@given(seed=seeds, sides=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_spectra_trust_a_root_no_more_than_its_radius(seed, sides):
    rng = np.random.default_rng(seed)
    taps = [int(rng.integers(1, side + 1)) for side in sides]
    K = rng.standard_normal((2, 3, *taps))
    fine = Spectrum(K, *sides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frequencies, "roots_of_unity", coarse)
        rough = Spectrum(K, *sides)
    for a, b in ((fine.A, rough.A), (fine.B, rough.B)):
        assert (np.abs(a - b) <= fine.rad + rough.rad).all()
    a, b = fine.blocks(), rough.blocks()
    assert (np.abs(a.mid - b.mid) <= a.radius() + b.radius()).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block_of", [conv_lben, conv_mondeq])
def test_the_matrices_of_the_conditions_carry_the_error_of_the_spectra(seed, block_of, monkeypatch):
    block = block_of(seed)
    rng = np.random.default_rng(seed)
    lam = rng.uniform(0.5, 2.0, block.n)

    def matrices():
        for each in Everywhere(block):
            yield each.well_posed(lam, 0.1)
            yield each.lipschitz(lam, 0.7)

    fine = list(matrices())
    monkeypatch.setattr(frequencies, "roots_of_unity", coarse)
    for a, b in zip(fine, matrices(), strict=True):
        assert (np.abs(a.mid - b.mid) <= a.radius() + b.radius()).all()
        assert b.radius().min() > 1e-5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("padding", ["circular", "zero"])
@pytest.mark.usefixtures("coarsely")
def test_what_is_proven_with_rough_roots_is_true(seed, padding):
    block = convolution(seed, 2, 3, (2, 2), 3, 2, padding)
    assert proven(block).lip.value >= np.linalg.norm(matrix(block), 2)
    # D at the boundary of the dense form: with rough roots δ = 0 cannot be known to hold
    block = conv_residual(seed, 2, 2, (2, 2), 3, 2, padding)
    K = matrix(replace(convolution(seed, 2, 2, (2, 2), 3, 2, padding), K=block.K))
    scale = 1.0001 / np.linalg.norm(K, 2) ** 2
    block = replace(block, D=torch.full_like(block.D, scale))
    assert proven(block).lip.value >= 2 * 1.0001 - 1


@given(gam=st.floats(5e-324, 1e308))
def test_the_roots_of_weights_are_held(gam):
    for root, square in ((_root, Fraction(gam)), (_inverse_root, 1 / Fraction(gam))):
        ball = root(np.array([gam]))
        mid, rad = Fraction(float(ball.mid[0])), Fraction(float(ball.radius()[0]))
        assert mid > rad
        assert (mid - rad) ** 2 <= square <= (mid + rad) ** 2
        assert rad <= mid / 10**15


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("coarsely")
def test_norms_that_enclosures_use_hold_with_rough_roots(seed):
    block = conv_mondeq(seed, m=1.0, phi=[0.7, 1.3])
    own = proven(block)
    (form,) = dense_form(block)
    root = np.sqrt(np.repeat(own.gam, block.pixels))
    W, G = form.W.numpy(), form.G.numpy()
    assert own.gam_W.value >= np.linalg.norm(root[:, None] * W / root, 2)
    assert own.gam_root_G.value >= np.linalg.norm(G / root, 2)
    scaled = (root[:, None] * W / root + (root[:, None] * W / root).T) / 2
    assert own.mu.value <= np.linalg.eigvalsh(np.eye(len(W)) - scaled)[0]
