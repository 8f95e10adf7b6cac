"""Convolutional blocks: proven bounds agree with the dense form and are never below the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conv_nets import (
    conv_lben,
    conv_mondeq,
    conv_residual,
    convolution,
    matrix,
    network,
    normal,
    relu,
    tensor,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import ConvEquilibrium, GroupSort, Network, Origin, Pooling, Resize
from certlip.blocks.dense_form import dense_form
from certlip.errors import InconclusiveError, InputError, RejectedError
from certlip.linalg.rigorous import frequencies
from certlip.lmi import Conditions, prove
from certlip.lmi.check import check, exit_code
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.search import Search

seeds = st.integers(0, 2**32 - 1)
paddings = pytest.mark.parametrize("padding", ["circular", "zero"])


def proven(block, **options):
    return prove(Network([block]), **options).blocks[0]


def dense(block):
    (form,) = dense_form(block)
    return form


def steepest(block, patterns=200):
    """max ‖G(I − JW)⁻¹JU‖₂ over random ReLU patterns of the dense form: no bound may be below it."""
    form = dense(block)
    W, U, G = form.W.numpy(), form.U.numpy(), form.G.numpy()
    rng, eye = np.random.default_rng(0), np.eye(len(W))
    masks = [np.ones(len(W)), *rng.integers(0, 2, (patterns, len(W)))]
    return max(
        np.linalg.norm(G @ np.linalg.solve(eye - J[:, None] * W, J[:, None] * U), 2) for J in masks
    )


# --- equilibria ----------------------------------------------------------------------------------


@settings(max_examples=20)
@given(seed=seeds, sides=st.tuples(st.integers(1, 4), st.integers(1, 4)), lip=st.floats(0.3, 3.0))
def test_the_frequencies_have_the_eigenvalues_of_the_dense_matrix(seed, sides, lip):
    H, W = sides
    rng = np.random.default_rng(seed)
    n, c, q = 2, 1, 2

    def kernel(o, i):
        return normal(rng, o, i, rng.integers(1, H + 1), rng.integers(1, W + 1))

    parts = kernel(n, n), kernel(n, c), kernel(q, n), normal(rng, n), normal(rng, q)
    block = ConvEquilibrium(*parts, relu(n, H, W), H, W)
    lam = rng.uniform(0.5, 2.0, n)
    whole = Conditions(dense(block))
    per_pixel = np.repeat(lam, H * W)
    for of_dense, of_each in (
        (whole.well_posed(per_pixel, 0.3), lambda each: each.well_posed(lam, 0.3)),
        (whole.lipschitz(per_pixel, lip), lambda each: each.lipschitz(lam, lip)),
    ):
        wanted = np.linalg.eigvalsh(of_dense.mid)
        balls = [of_each(each) for each in Everywhere(block)]
        found = np.concatenate([np.linalg.eigvalsh(ball.mid).ravel() for ball in balls])
        for values in wanted, found:  # every eigenvalue of one is one of the other
            others = found if values is wanted else wanted
            assert np.abs(values[:, None] - others).min(axis=1).max() < 1e-9
        assert max(ball.radius().max() for ball in balls) < 1e-11


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block_of", [conv_lben, conv_mondeq])
def test_the_proof_agrees_with_that_of_the_dense_form_and_bounds_every_slope(block_of, seed):
    block = block_of(seed)
    own, whole = proven(block), proven(dense(block))
    assert own.lip.value == pytest.approx(whole.lip.value, rel=1e-9)
    assert own.mu.value == pytest.approx(whole.mu.value, rel=1e-6)
    assert own.gam_root_G.value == pytest.approx(whole.gam_root_G.value, rel=1e-9)
    assert own.slack.value == pytest.approx(whole.slack.value, rel=1e-6)
    assert steepest(block) <= own.lip.value
    root = np.sqrt(np.repeat(own.gam, block.pixels))
    W = root[:, None] * dense(block).W.numpy() / root
    assert own.gam_W.value == pytest.approx(np.linalg.norm(W, 2), rel=1e-9)
    assert own.rule == "conv-equilibrium"


@pytest.mark.parametrize("seed", range(3))
def test_mondeqs_have_their_closed_bound(seed):
    phi = np.array([0.5, 3.0])
    for block, scale in ((conv_mondeq(seed), [1, 1]), (conv_mondeq(seed, phi=phi), 1 / phi)):
        form = dense(block)
        rows = np.repeat(scale, block.pixels)[:, None]
        s = np.linalg.norm(rows * form.U.numpy(), 2)
        claimed = s * np.linalg.norm(form.G.numpy(), 2) / 0.5
        assert proven(block).lip.value == pytest.approx(claimed, rel=1e-9)


@pytest.mark.parametrize("zero", ["U", "G"])
def test_a_constant_map_has_a_tiny_bound(zero):
    block = conv_mondeq()
    block = replace(block, **{zero: torch.zeros_like(getattr(block, zero))})
    assert proven(block).lip.value < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_a_larger_w_is_rejected_once_the_condition_fails(seed):
    block = conv_lben(seed)
    lam, lip = proven(block).lam, 1.5
    for scale in np.linspace(0.0, 4.0, 9):
        grown = replace(block, W=block.W + scale * tensor(identity_kernel(block)))
        whole = Conditions(dense(grown))
        wide = np.repeat(lam, block.pixels)
        smallest = np.linalg.eigvalsh(whole.lipschitz(wide, lip).mid)[0]
        if smallest < -1e-9:
            with pytest.raises((RejectedError, InconclusiveError)):
                proven(grown, lip=lip)
        elif smallest > 1e-9:
            assert proven(grown, lip=lip).lip.value == lip


def identity_kernel(block):
    """The kernel of the identity, of the size of the image."""
    kernel = np.zeros(block.W.shape)
    for i in range(block.n):
        kernel[i, i, (block.height - 1) // 2, (block.width - 1) // 2] = 1.0
    return kernel


@pytest.mark.parametrize("chunk", [1, 2**17])
def test_one_bad_frequency_is_enough_to_reject(chunk, monkeypatch):
    monkeypatch.setattr(frequencies, "CHUNK", chunk)
    # W = 0 but for the constant image of channel 0, which it doubles
    block = conv_lben(n=2, height=3, width=3)
    W = np.zeros((2, 2, 3, 3))
    W[0, 0] = 2.0 / 9.0
    with pytest.raises(RejectedError, match=r"block 0 \(conv-equilibrium\): \(3\) does not hold"):
        proven(replace(block, W=tensor(W)))
    assert proven(replace(block, W=tensor(0.25 * W)), lip=100.0).mu.value > 0.4


@pytest.mark.parametrize("chunk", [1, 2**17])
def test_one_steep_frequency_is_enough_to_refuse_a_bound(chunk, monkeypatch):
    # y = σ(mean of x): the slope is 1 for constant images and 0 for all others
    monkeypatch.setattr(frequencies, "CHUNK", chunk)
    one, zero = np.ones((1, 1, 1, 1)), tensor([0.0])
    kernels = tensor(0.0 * one), tensor(np.full((1, 1, 3, 3), 1 / 9)), tensor(one)
    origin = Origin("lben", {"lip": 1.0}, {"psi": tensor([2 / 3])})
    block = ConvEquilibrium(*kernels, zero, zero, relu(1, 3, 3), 3, 3, origin)
    assert proven(block, lip=1.2).lip.value == 1.2
    with pytest.raises(RejectedError, match=r"\(10\) with L = 0.5 does not hold"):
        proven(block, lip=0.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_minus_sign_of_the_positive_part_is_rejected(seed):
    with pytest.raises(RejectedError):
        proven(conv_lben(seed, sign=-1.0), lip=1.5)


def test_a_prescribed_bound_below_the_truth_is_refused():
    block = conv_lben(0)
    with pytest.raises((RejectedError, InconclusiveError), match=r"\(10\) with L"):
        proven(block, lip=0.9 * steepest(block))


def test_multipliers_per_coordinate_are_refused():
    block = conv_lben(0)
    psi = block.origin.vectors["psi"].repeat_interleave(block.pixels)
    origin = replace(block.origin, vectors={"psi": psi})
    with pytest.raises(InputError, match="not 2 positive numbers"):
        proven(replace(block, origin=origin))
    with pytest.raises(InconclusiveError, match="unknown origin"):
        proven(replace(block, origin=None), search=Search("analytic"))


# --- convolutions ----------------------------------------------------------------------------------


@paddings
@pytest.mark.parametrize("seed", range(5))
def test_a_convolution_is_bounded_by_no_less_than_its_norm(seed, padding):
    rng = np.random.default_rng(seed)
    H, W = rng.integers(1, 5, 2).tolist()
    taps = int(rng.integers(1, H + 1)), int(rng.integers(1, W + 1))
    block = convolution(seed, 3, 2, taps, H, W, padding)
    true, own = np.linalg.norm(matrix(block), 2), proven(block)
    assert own.lip.value >= true * (1 - 1e-13)
    assert own.rule == "convolution"
    if padding == "circular":
        assert own.lip.value <= true * (1 + 1e-9)


def test_zero_padding_counts_what_a_torus_of_the_image_would_miss():
    block = replace(convolution(0, 1, 1, (1, 2), 1, 3, "zero"), K=tensor([[[[1.0, -1.0]]]]))
    true = 2 * np.cos(np.pi / 7)
    assert proven(block).lip.value >= true
    assert proven(replace(block, padding="circular")).lip.value < true


# --- residual blocks ------------------------------------------------------------------------------


def residual_slope(block):
    form = dense(block)
    W, D = form.W.numpy(), form.D.numpy()
    rng = np.random.default_rng(0)
    masks = [np.ones(len(D)), *rng.integers(0, 2, (100, len(D)))]
    return max(np.linalg.norm(np.eye(len(W)) - 2 * (W * D * J) @ W.T, 2) for J in masks)


@paddings
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.3, 0.999, 1.5, 5.0])
def test_a_residual_block_is_bounded_by_no_less_than_its_slopes(seed, share, padding):
    block = conv_residual(seed, padding=padding, share=share)
    own, whole = proven(block), proven(dense(block))
    assert own.lip.value >= residual_slope(block) * (1 - 1e-12)
    assert own.delta >= whole.delta * (1 - 2e-3) - 1e-6  # both refined to 0.1 % of L
    if share < 1.0:
        assert own.lip.value == 1.0
    if padding == "circular":
        assert own.lip.value == pytest.approx(whole.lip.value, rel=1e-2)


@paddings
def test_too_large_a_d_in_one_channel_costs_the_bound(padding):
    block = conv_residual(0, padding=padding, share=0.9)
    assert (proven(block).lip.value, proven(block).condition) == (1.0, "D KKᵀ D ⪯ D")
    D = block.D.clone()
    D[1] *= 10.0
    worse = replace(block, D=D)
    assert proven(worse).lip.value >= residual_slope(worse) > 1.5
    D[1] *= 1e4
    with pytest.raises(RejectedError, match="D is far too large"):
        proven(replace(block, D=D))


def test_channels_that_never_act_do_not_count():
    block = conv_residual(0, share=0.9)
    K, D = block.K.clone(), block.D.clone()
    K[2] *= 1e6
    D[2] = 0.0
    assert proven(replace(block, K=K, D=D)).lip.value == 1.0
    assert proven(replace(block, K=K, D=torch.zeros_like(D))).lip.value == 1.0
    with pytest.raises(RejectedError):
        proven(replace(block, K=K))


def test_zero_padding_may_need_a_smaller_d_than_a_torus_of_the_image():
    # x ↦ x[p] − x[p + 1] on three pixels: ‖K‖² is 3 on the torus, 4cos²(π/7) = 3.25 with zero padding
    block = conv_residual(0, 1, 1, (1, 2), 1, 3, "zero")
    block = replace(block, K=tensor([[[[1.0, -1.0]]]]), D=tensor([1 / 3.1]))
    assert proven(block).lip.value >= residual_slope(block) > 1.09
    assert proven(replace(block, padding="circular")).lip.value == 1.0


# --- whole networks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "rule"),
    [(Pooling(2, 4, 6, 2), "pooling"), (Resize(3, 7), "resize"), (GroupSort(12, 2, 3), "sort")],
)
def test_what_only_moves_numbers_has_the_bound_one(block, rule):
    own = proven(block)
    assert (own.rule, own.lip.value) == (rule, 1.0)


@paddings
def test_a_network_is_proven_and_bounds_its_slopes(padding):
    net = network(0, padding)
    proof = prove(net)
    product = 1.0
    for own in proof.blocks:
        product *= own.lip.value
    assert proof.lip.value == pytest.approx(product)
    rows, lip = check(net, ("3", "4", "10"))
    assert lip.value == proof.lip.value
    assert exit_code(rows) == 0
    assert [row["condition"] for row in rows if row["name"] == "block5"] == ["3", "4", "10"]
    assert [row["method"] for row in rows[:3]] == ["resize", "convolution", "conv-residual"]
    assert [row["outcome"] for row in rows] == ["proven"] * 9


def test_a_refuted_row_leaves_no_bound():
    blocks = [convolution(0, 1, 1, (1, 1), 2, 3), conv_lben(0, sign=-1.0)]
    rows, lip = check(Network(blocks))
    assert lip is None
    assert exit_code(rows) == 1
    assert rows[0]["outcome"] == "proven"


def test_a_prescribed_bound_is_for_the_one_equilibrium():
    net = network()
    assert prove(net, lip=7.0).blocks[5].lip.value == 7.0


def test_what_overflows_is_undecided():
    block = convolution(0)
    for huge in (1e308, 1e155):
        wide = replace(block, K=torch.full_like(block.K, huge))
        if huge == 1e308:
            with pytest.raises(InconclusiveError, match=r"block 0 \(convolution\)"):
                proven(wide)
        else:
            assert proven(wide).lip.value >= np.linalg.norm(matrix(wide), 2) * (1 - 1e-12)
    huge = replace(conv_residual(0), K=torch.full_like(conv_residual(0).K, 1e160))
    with pytest.raises((InconclusiveError, RejectedError)):
        proven(huge)
