"""CerDEQ layers: their boxes exist for all values of the parameters, hold every point, and have true
gradients."""

import numpy as np
import pytest
import torch

from certlip.blocks import Network
from certlip.certification.interval import IntervalBounds
from certlip.certification.interval.box import around, ends
from certlip.equilibrium.cerdeq import MOST, NORMALISED, CerDEQ, bjorck
from certlip.errors import InputError
from certlip.linalg.boxes import Boxes
from certlip.linalg.operators import Dense
from certlip.linalg.operators.paired import Paired
from certlip.linalg.torus import Torus
from certlip.solvers import Evaluator

IMAGES = {
    "dense": {},
    "circular": {"torus": Torus(3, 4), "kernel": 2},
    "zero": {"torus": Torus(3, 4), "kernel": 3, "padding": "zero"},
}


def layer(variant="bjorck", image="dense", seed=0, size=1.0):
    torch.manual_seed(seed)
    made = CerDEQ(3, 5, variant=variant, **IMAGES[image]).double()
    with torch.no_grad():
        made.A.mul_(size)
        made.U.normal_()
        made.b_z.normal_()
        made.scale.normal_()
    return made


@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0, 1e3])
@pytest.mark.parametrize("variant", NORMALISED)
@pytest.mark.parametrize("image", IMAGES)
def test_boxes_exist_whatever_the_parameters(variant, size, image):
    for seed in range(3):
        made = layer(variant, image, seed, size)
        with torch.no_grad():
            made.scale.fill_(30.0)
        W = made.weight().detach().abs()
        S = W if image == "dense" else W.sum(dim=(2, 3))
        rows = variant == "ibp-mondeq"
        norm = float(S.sum(dim=1).max() if rows else torch.linalg.matrix_norm(S, 2))
        assert norm <= MOST * (1 + 1e-12)
        IntervalBounds(Network([made.freeze()]))  # raises without a proof of its own


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (1, 5)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_bjorck_comes_near_orthogonal_rows_and_never_above_one(shape, scale):
    A = scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    few, many = bjorck(A), bjorck(A, 30)
    for Q in (few, many):
        assert torch.linalg.matrix_norm(Q, 2) <= 1 + 1e-12
    small = many @ many.T if shape[0] <= shape[1] else many.T @ many
    torch.testing.assert_close(small, torch.eye(min(shape), dtype=torch.float64), atol=1e-8, rtol=0)


def test_one_step_of_bjorck_is_the_printed_formula():
    A = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    A = A / torch.linalg.matrix_norm(A, 2)
    wanted = 15 / 8 * A - 5 / 4 * A @ (A.T @ A) + 3 / 8 * A @ (A.T @ A) @ (A.T @ A)
    torch.testing.assert_close(bjorck(A, 1), wanted, rtol=1e-3, atol=1e-3)


def test_u_starts_so_that_boxes_do_not_grow():
    torch.manual_seed(0)
    made = CerDEQ(400, 300)
    assert float(made.U.detach().std()) == pytest.approx(np.sqrt(np.pi / 2) / 400, rel=0.02)
    boxes = made.boxes(Boxes.around(torch.randn(20, 400), 0.1))
    assert float(boxes.r.detach().mean()) <= 0.1


@pytest.mark.parametrize("variant", NORMALISED)
@pytest.mark.parametrize("image", IMAGES)
def test_boxes_in_training_are_those_that_are_proven(variant, image):
    made = layer(variant, image)
    net = Network([made.freeze()])
    x = torch.randn(7, net.in_width, dtype=torch.float64)
    with torch.no_grad():
        boxes, z = made.boxes(Boxes.around(x, 0.2)), made(x)
        torch.testing.assert_close(boxes.x, z)
        torch.testing.assert_close(Evaluator(net)(x), z, rtol=1e-8, atol=1e-8)
    low, high = ends(IntervalBounds(net)(around(x.numpy(), np.full(7, 0.2))))
    # what is proven may be smaller: weights W_ii < 0 are known to pull back
    assert (high <= (boxes.c + boxes.r).numpy() + 1e-7).all()
    assert (low >= (boxes.c - boxes.r).numpy() - 1e-7).all()
    assert (high - low).mean() > 0.5 * float(2 * boxes.r.mean())


@pytest.mark.parametrize("image", IMAGES)
def test_gradients_through_the_adjoint_equilibrium(image):
    made = layer("bjorck", image, seed=3)
    x = torch.randn(4, 3 * made.structure.repeat, dtype=torch.float64)
    weights = [torch.randn(4, 5 * made.structure.repeat, dtype=torch.float64) for _ in range(3)]

    def value():
        b = made.boxes(Boxes.around(x, 0.3))
        return sum((w * v).sum() for w, v in zip(weights, (b.x, b.c, b.r), strict=True))

    value().backward()
    generator = torch.Generator().manual_seed(0)
    for name, p in made.named_parameters():
        direction = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        h, found = 1e-6, []
        for sign in (1, -2, 1):
            with torch.no_grad():
                p.add_(sign * h * direction)
                found.append(float(value()))
        slope = float((p.grad * direction).sum())
        assert slope == pytest.approx((found[0] - found[1]) / (2 * h), rel=1e-5, abs=1e-5), name


def test_the_paired_operator_is_the_matrix_of_four_parts():
    rng = torch.Generator().manual_seed(0)
    W = torch.randn(4, 4, dtype=torch.float64, generator=rng)
    plus, minus = W.clamp_min(0.0), W.clamp_max(0.0)
    whole = torch.cat([torch.cat([plus, minus], 1), torch.cat([minus, plus], 1)])
    pair = Paired(Dense(W), Dense(W.abs()))
    x = torch.randn(3, 8, dtype=torch.float64, generator=rng)
    torch.testing.assert_close(pair.apply(x), x @ whole.T)
    torch.testing.assert_close(pair.adjoint(x), x @ whole)
    eye = torch.eye(8, dtype=torch.float64)
    inverse = torch.linalg.inv(eye + 0.3 * (eye - whole))
    torch.testing.assert_close(pair.resolvent(0.3).apply(x), x @ inverse.T)
    assert float(torch.linalg.matrix_norm(whole, 2)) == pytest.approx(
        float(torch.linalg.matrix_norm(W.abs(), 2))
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d": 0}, "d = 0"),
        ({"n": 0}, "n = 0"),
        ({"variant": "none"}, "expected one of bjorck"),
        ({"padding": "same"}, "padding 'same'"),
        ({"torus": Torus(2, 2), "kernel": 3}, "kernels of 3×3"),
        ({"torus": Torus(2, 2), "kernel": 0}, "kernels of 0×0"),
    ],
)
def test_what_is_no_layer_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        CerDEQ(**{"d": 2, "n": 2, **options})
