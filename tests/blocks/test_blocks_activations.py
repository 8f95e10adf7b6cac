"""Each activation of the registry: slopes, derivative, proximal law and evaluation error."""

import decimal
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from certlip.blocks.activations import ACTIVATIONS, ActivationKind, Sigma, activation
from certlip.errors import InputError

ROWS = {
    "identity": [{}],
    "relu": [{}],
    "leaky_relu": [{"slope": 0.0}, {"slope": 0.01}, {"slope": 0.3}, {"slope": 1.0}],
    "tanh": [{}],
    "elu": [{"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0}],
}
CASES = [activation(name, row) for name, rows in ROWS.items() for row in rows]
every_activation = pytest.mark.parametrize("kind", CASES, ids=repr)


def test_every_registered_activation_has_a_row():
    assert set(ROWS) == set(ACTIVATIONS)


def samples(seed=0, count=4000):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=count), 30 * rng.normal(size=count), np.linspace(-40, 40, 801)]
    parts += [rng.normal(size=count) * 10.0 ** rng.integers(-12, 3, count)]
    return torch.from_numpy(np.concatenate([*parts, [0.0, -0.0, 1e-300, -1e-300, 1e300, -1e300]]))


@every_activation
def test_name_and_parameters_determine_it(kind):
    again = activation(kind.name, kind.parameters)
    assert again == kind
    assert hash(again) == hash(kind)
    assert isinstance(kind, ActivationKind)
    assert ACTIVATIONS[kind.name](**kind.parameters) == kind
    assert [other for other in CASES if other == kind] == [kind]
    assert kind.name in repr(kind)


@every_activation
def test_difference_quotients_lie_in_the_slopes(kind):
    v = samples().sort().values
    v = v[v.abs() < 1e100].unique()
    low, high = kind.slopes
    assert 0.0 <= low <= high <= 1.0
    rise, run = kind.forward(v).diff(), v.diff()
    # each value is known to a few units in its last place
    room = 2.0**-48 * (kind.forward(v).abs()[1:] + kind.forward(v).abs()[:-1]) + 1e-307
    assert bool((rise >= low * run - room).all())
    assert bool((rise <= high * run + room).all())


@every_activation
def test_the_derivative_is_that_of_the_function_and_in_the_slopes(kind):
    v = samples()
    v = v[(v.abs() > 1e-3) & (v.abs() < 30)]
    h = 1e-6
    quotient = (kind.forward(v + h) - kind.forward(v - h)) / (2 * h)
    torch.testing.assert_close(kind.derivative(v), quotient, rtol=1e-6, atol=1e-8)
    slopes = kind.derivative(samples())
    assert bool(((slopes >= kind.slopes[0]) & (slopes <= kind.slopes[1])).all())


@every_activation
@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.9, 1.0, 1.1, 3.0, 20.0])
def test_the_prox_obeys_its_law(kind, alpha):
    """z = σ(w) with (1 − α)z + αw = v, which determines z."""
    w = samples()
    w = w[w.abs() < 1e3]
    z = kind.forward(w)
    v = (1 - alpha) * z + alpha * w
    torch.testing.assert_close(kind.prox(v, alpha), z, rtol=1e-12, atol=1e-12)


@every_activation
def test_the_prox_of_step_one_is_the_activation(kind):
    v = samples()
    torch.testing.assert_close(kind.prox(v, 1.0), kind.forward(v), rtol=1e-14, atol=0.0)


@every_activation
@pytest.mark.parametrize("alpha", [0.05, 1.7])
def test_the_prox_of_an_entry_does_not_depend_on_the_others(kind, alpha):
    v = samples(count=200)
    together = kind.prox(v, alpha)
    apart = torch.cat([kind.prox(part, alpha) for part in v.split(7)])
    assert torch.equal(together, apart)


@every_activation
def test_the_prox_of_something_else_than_a_number_is_no_number(kind):
    assert bool(kind.prox(torch.full((3,), torch.nan, dtype=torch.float64), 0.5).isnan().all())


def exact(kind, v):
    """σ(v) as a decimal of many digits, or a fraction where it is rational."""
    x = Fraction(v)
    if kind.name in ("identity", "relu", "leaky_relu"):
        factor = {"identity": Fraction(1), "relu": Fraction(0)}.get(kind.name)
        slope = Fraction(kind.slope) if factor is None else factor
        return x if x >= 0 else slope * x
    with decimal.localcontext(prec=120, Emin=-(10**6), Emax=10**6):
        if kind.name == "tanh":
            e = (2 * Decimal(v)).exp()
            return Fraction((e - 1) / (e + 1))
        return x if x >= 0 else Fraction(kind.alpha) * Fraction(Decimal(v).exp() - 1)


@every_activation
def test_the_evaluation_error_is_within_what_is_stated(kind):
    v = samples(1, 150)
    v = v[(v.abs() < 700) & ((v.abs() > 1e-30) | (v == 0))]
    for point, computed in zip(v.tolist(), kind.forward(v).tolist(), strict=True):
        error = abs(Fraction(computed) - exact(kind, point))
        assert error <= Fraction(kind.relative_error) * abs(Fraction(computed))


@pytest.mark.parametrize("kind", [activation("tanh"), activation("elu")], ids=repr)
def test_tiny_arguments_are_evaluated_as_themselves(kind):
    v = torch.tensor([-1e-300, -1e-160, -5e-324, -1e-40, 1e-300], dtype=torch.float64)
    assert bool(((kind.forward(v) - v).abs() <= 2.0**-49 * v.abs()).all())


@every_activation
def test_zero_is_kept_and_no_number_stays_visible(kind):
    assert kind.forward(torch.zeros(2, dtype=torch.float64)).tolist() == [0.0, 0.0]
    assert bool(kind.forward(torch.tensor([math.nan], dtype=torch.float64)).isnan().all())


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(kind, dtype):
    v = torch.randn(2, 3, dtype=dtype)
    for result in (kind.forward(v), kind.derivative(v), kind.prox(v, 0.7)):
        assert result.shape == v.shape
        assert result.dtype == dtype


@pytest.mark.parametrize("bad", [-1e-9, 1.0000001, math.nan, math.inf, -math.inf, 10**400])
@pytest.mark.parametrize(("name", "parameter"), [("leaky_relu", "slope"), ("elu", "alpha")])
def test_parameters_outside_the_unit_interval_are_refused(name, parameter, bad):
    with pytest.raises(InputError, match=rf"{name} {parameter} = .*expected a number in \[0, 1\]"):
        activation(name, {parameter: bad})


@pytest.mark.parametrize("name", ["gelu", "silu", "", "ReLU", "softplus"])
def test_unknown_names_are_refused(name):
    with pytest.raises(InputError, match=f"unknown activation '{name}'.*relu.*tanh"):
        activation(name)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("relu", {"slope": 0.1}), ("tanh", {"": 1}), ("elu", {"alpha": "x"}), ("elu", {"alpha": []})],
)
def test_parameters_that_do_not_belong_are_refused(name, parameters):
    with pytest.raises(InputError, match="does not take the parameters"):
        activation(name, parameters)


RELU, TANH, ELU = activation("relu"), activation("tanh"), activation("elu", {"alpha": 0.5})


def test_a_layer_applies_each_segment_to_its_coordinates():
    sigma = Sigma(((RELU, 2), (TANH, 1), (ELU, 3)))
    v = torch.randn(4, 6, dtype=torch.float64)
    torch.manual_seed(0)
    for name, arguments in (("forward", ()), ("derivative", ()), ("prox", (0.7,))):
        whole = getattr(sigma, name)(v, *arguments)
        for kind, columns in ((RELU, slice(0, 2)), (TANH, slice(2, 3)), (ELU, slice(3, 6))):
            part = getattr(kind, name)(v[:, columns], *arguments)
            torch.testing.assert_close(whole[:, columns], part, rtol=1e-14, atol=1e-14)
    assert sigma.width == 6
    assert sigma.slopes == (0.0, 1.0)
    assert sigma.assumed
    assert sigma.relative_error().tolist() == [0.0, 0.0, *[2.0**-49] * 4]
    assert not Sigma.of(RELU, 3).assumed


def test_segments_have_one_form():
    sigma = Sigma(((RELU, 1), (TANH, 0), (RELU, 2), (TANH, 1)))
    assert sigma.segments == ((RELU, 3), (TANH, 1))
    assert Sigma.concatenate([Sigma.of(RELU, 3), Sigma.of(TANH, 1)]) == sigma
    assert str(sigma) == "relu×3, tanh×1"


@pytest.mark.parametrize("start", range(5))
@pytest.mark.parametrize("stop", range(5))
def test_a_part_of_a_layer_has_the_activations_of_its_coordinates(start, stop):
    sigma = Sigma(((RELU, 2), (TANH, 1), (ELU, 1)))
    kinds = [kind for kind, count in sigma.segments for _ in range(count)]
    part = sigma.part(start, stop)
    assert [kind for kind, count in part.segments for _ in range(count)] == kinds[start:stop]


def test_a_negative_count_is_refused():
    with pytest.raises(InputError, match="has -1 coordinates"):
        Sigma(((RELU, -1),))
