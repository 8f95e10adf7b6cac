"""Convolutional MonDEQ, G-MonDEQ and LBEN: their functions and bounds, and what is kept between calls."""

import pytest
import torch

from certlip.blocks import ConvEquilibrium, Network, Sigma
from certlip.blocks.activations import ELU, ReLU, Tanh
from certlip.equilibrium import LBEN, MonDEQ
from certlip.errors import InputError
from certlip.linalg.torus import Torus
from certlip.solvers import Evaluator

T = Torus(5, 4)


def lben(torus=T, *, n=4, c=2, q=3, lip=1.0, seed=0, size=None, kind=None):
    torch.manual_seed(seed)
    height, width = size or (torus.height, torus.width)

    def gaussian(*shape):
        return torch.randn(*shape, dtype=torch.float64) / (shape[1] * shape[2] * shape[3]) ** 0.5

    return LBEN(
        log_psi=0.3 * torch.randn(n, dtype=torch.float64),
        U=gaussian(n, c, 3, 2),
        G=gaussian(q, n, 1, 3),
        V=gaussian(n, n, height, width),
        S=gaussian(n, n, height, width),
        b_z=torch.randn(n, dtype=torch.float64),
        b_y=torch.randn(q, dtype=torch.float64),
        sigma=Sigma(tuple(kind))
        if isinstance(kind, list)
        else Sigma.of(kind or ReLU(), n * torus.pixels),
        lip=lip,
        torus=torus,
    )


def mondeq(seed=0, **options):
    torch.manual_seed(seed)
    layer = MonDEQ(2, 4, 3, torus=T, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return layer


LAYERS = {
    "lben": (lambda: lben(), 1.0),
    "lben small kernels": (lambda: lben(size=(2, 1), lip=0.5), 0.5),
    "lben tanh": (lambda: lben(lip=10.0, kind=Tanh()), 10.0),
    "mondeq": (lambda: mondeq(lip=1.0), 1.0),
    "mondeq two": (lambda: mondeq(lip=2.0, m=0.5, kernel=2, activation=ELU()), 2.0),
    "g-mondeq": (lambda: mondeq(lip=0.5, generalized=True, kernel=4), 0.5),
    "mondeq free": (lambda: mondeq(), None),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def images(rows=6, width=2 * T.pixels, seed=1):
    return torch.randn(rows, width, dtype=torch.float64, generator=torch.manual_seed(seed))


@every_layer
def test_freeze_keeps_the_function(name):
    layer = LAYERS[name][0]()
    block = layer.freeze()
    assert isinstance(block, ConvEquilibrium)
    x = images()
    with torch.no_grad():
        y = layer(x)
        assert (Evaluator(Network([block]))(x) - y).abs().max() < 1e-9
        assert y.shape == (6, 3 * T.pixels)
    # products of kernels of 2×2 taps reach 3×3, all others the whole image
    assert block.W.shape[2:] == ((3, 3) if name == "mondeq two" else (5, 4))


@pytest.mark.parametrize("name", [name for name, (_, lip) in LAYERS.items() if lip is not None])
def test_no_slope_is_above_the_bound(name):
    make, lip = LAYERS[name]
    layer, x = make(), images(64)
    y = x + 1e-3 * torch.randn_like(x)
    with torch.no_grad():
        slopes = (layer(x) - layer(y)).norm(dim=1) / (x - y).norm(dim=1)
    assert slopes.max() <= lip * (1 + 1e-6)


@pytest.mark.parametrize("name", [name for name, (_, lip) in LAYERS.items() if lip is not None])
def test_the_jacobian_is_within_the_bound(name):
    make, lip = LAYERS[name]
    layer, x = make(), images(1, seed=3)
    J = torch.autograd.functional.jacobian(lambda x: layer(x)[0], x)[:, 0]
    assert torch.linalg.matrix_norm(J, 2) <= lip * (1 + 1e-9)


@every_layer
def test_gradients_of_all_parameters_to_a_millionth(name):
    """Against central differences of fourth order along a random direction of every parameter."""
    layer, x = LAYERS[name][0](), images(2, seed=5)
    torch.manual_seed(7)
    with torch.no_grad():
        weight = torch.randn_like(layer(x))

    def value():
        return (layer(x) * weight).sum()

    value().backward()
    h = 1e-3 if name in ("lben tanh", "mondeq two") else 1e-6
    for key, parameter in layer.named_parameters():
        assert parameter.grad is not None, key
        direction = torch.randn_like(parameter)
        slope = float((parameter.grad * direction).sum())
        values = {}
        with torch.no_grad():
            for step in (-2, -1, 1, 2):
                parameter += step * h * direction
                values[step] = float(value())
                parameter -= step * h * direction
        central = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
        assert slope == pytest.approx(central, rel=2e-6, abs=2e-6 * float(weight.norm())), key


def test_w_is_computed_again_only_when_a_parameter_changes(monkeypatch):
    layer, x = lben(), images()
    count = []
    original = LBEN.maps
    monkeypatch.setattr(LBEN, "maps", lambda self: count.append(1) or original(self))
    with torch.no_grad():
        first = layer(x)
        solver = layer._prepared()[1]
        again = layer(x)
        assert len(count) == 1
        assert torch.equal(first, again)
        layer.V += 1e-3
        changed = layer(x)
        assert len(count) == 2
        assert layer._prepared()[1] is not solver
        assert not torch.equal(first, changed)
    layer(
        x
    ).sum().backward()  # a graph needs W as a function of the parameters, not a new resolvent
    layer(x).sum().backward()
    assert len(count) == 4
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    optimizer.step()
    with torch.no_grad():
        after = layer(x)
    fresh = Evaluator(Network([layer.freeze()]))(x)
    torch.testing.assert_close(after, fresh, rtol=0, atol=1e-9)
    layer.load_state_dict(lben().state_dict())
    with torch.no_grad():
        torch.testing.assert_close(layer(x), first, rtol=0, atol=1e-10)


def test_dtype_and_copies_do_not_meet_stale_numbers():
    import copy

    layer, x = lben(), images()
    with torch.no_grad():
        y = layer(x)
        twin = copy.deepcopy(layer)
        twin.G *= 2.0
        assert not torch.allclose(twin(x), y)
        torch.testing.assert_close(layer(x), y)
        single = layer.float()(x.float())
        torch.testing.assert_close(single.double(), y, rtol=1e-4, atol=1e-4)


def test_plain_numbers_are_a_part_of_what_is_kept():
    layer, x = lben(), images()
    with torch.no_grad():
        first = layer(x)
        layer.eps = 5.0
        changed = layer(x)
    assert (changed - first).abs().max() > 1e-2
    expected = Evaluator(Network([layer.freeze()]))(x)
    torch.testing.assert_close(changed, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(layer(x).detach(), expected, rtol=0, atol=1e-9)


def test_inference_mode_leaves_nothing_behind_that_training_trips_over():
    size = Torus(3, 7)  # met for the first time in inference mode
    torch.manual_seed(0)
    layer = MonDEQ(1, 3, 2, torus=size).double()
    x = torch.randn(2, size.pixels, dtype=torch.float64)
    with torch.inference_mode():
        y = layer(x)
    z = layer(x)
    z.sum().backward()
    torch.testing.assert_close(z.detach(), y.clone(), rtol=0, atol=1e-9)
    assert layer.A.grad is not None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: lben(kind=[(ReLU(), 30), (Tanh(), 50)]), "expected whole channels of 20 pixels"),
        (lambda: MonDEQ(2, 3, torus=T, kernel=5), "5×5 taps: expected 1 to the 5×4"),
        (lambda: MonDEQ(2, 3, torus=T, kernel=0), "0×0 taps"),
        (lambda: MonDEQ(2, 3, torus=T, m=0.0), "m = 0.0: expected a positive"),
        (lambda: MonDEQ(2, 3, torus=T, m=-1.0), "m = -1.0"),
        (lambda: MonDEQ(2, 3, torus=T, lip=0.0), "L = 0.0"),
        (lambda: MonDEQ(0, 3, torus=T), "d = 0"),
        (lambda: lben(lip=0.0), "L = 0.0"),
        (lambda: lben(lip=-1.0), "L = -1.0"),
        (lambda: lben(size=(6, 4)), "V has shape .*: expected a kernel"),
        (lambda: lben(kind=Steep()), r"slopes in \[0.0, 2.0\]: expected \[0, 1\]"),
        (lambda: MonDEQ(2, 3, activation=Steep()), r"slopes in \[0.0, 2.0\]"),
        (lambda: MonDEQ(2, 3, torus=T, activation=Steep()), r"slopes in \[0.0, 2.0\]"),
        (lambda: Torus(0, 4), "image of 0×4 pixels"),
    ],
)
def test_bad_input_is_refused_at_construction(build, message):
    with pytest.raises(InputError, match=message):
        build()


class Steep(ReLU):
    name = "steep"
    slopes = (0.0, 2.0)

    def forward(self, v):
        return 2.0 * v.clamp_min(0.0)
