"""Models by name for the samples of a dataset, and everything that does not fit them."""

import inspect

import pytest
import torch

from certlip.errors import InputError
from certlip.models import MODELS, NAMED, build
from certlip.solvers import Evaluator

SIZES = {"channels": 2, "inner": 2, "conv_depth": 1, "pool": 2, "hidden": 4, "dense_depth": 1}


def sizes_of(family, shape):
    """A small value for every size that has no default."""
    wanted = inspect.signature({**MODELS, **NAMED}[family]).parameters
    small = SIZES if "height" in wanted else {"width": torch.Size(shape).numel(), "depth": 1}
    return {name: value for name, value in (SIZES | small).items() if name in wanted}


@pytest.mark.parametrize("shape", [(1, 4, 6), (4, 6), (2, 4, 4)])
@pytest.mark.parametrize("family", [*MODELS, "winston2020-fc", "winston2020-conv"])
def test_a_family_is_built_for_the_shape_of_the_samples(family, shape):
    model = build(family, shape, 2, **sizes_of(family, shape)).double()
    d = torch.Size(shape).numel()
    network, x = model.freeze(), torch.rand(4, d, dtype=torch.float64)
    assert (network.in_width, network.classes) == (d, 2)
    with torch.no_grad():
        assert (Evaluator(network)(x) - model(x)).abs().max() < 1e-7


def test_height_and_width_are_not_confused():
    sizes = sizes_of("sll-conv", (1, 2, 6)) | {"kernel": 1}
    blocks = build("sll-conv", (1, 2, 6), 2, **sizes).freeze().blocks
    assert {(b.height, b.width) for b in blocks if b.kind == "conv-residual"} == {(2, 6)}


@pytest.mark.parametrize("family", [f for f in MODELS if f.endswith("conv")] + ["havens2023-sll"])
@pytest.mark.parametrize("shape", [(24,), (1, 1, 4, 6)])
def test_a_model_of_images_refuses_other_samples(family, shape):
    with pytest.raises(
        InputError, match=rf"family {family}: samples of shape \({shape[0]},.*images"
    ):
        build(family, shape, 2, **sizes_of(family, shape))


@pytest.mark.parametrize(
    ("family", "sizes", "message"),
    [
        ("mlp", {}, "no such family; expected one of sll, cpl"),
        ("sll-cnov", {}, "did you mean 'sll-conv'"),
        ("winston-conv", {}, "did you mean 'winston2020-conv'"),
        ("mondeq", {"hidden": 3, "depth": 3}, "no size 'depth'; expected hidden$"),
        ("winston2020-fc", {"height": 4}, "no size 'height'; expected hidden$"),
        ("mondeq-conv", {"width": 6}, "no size 'width'; expected channels, pool, kernel"),
        ("lben-conv", {"pool": 2}, "no channels; expected a whole number"),
        ("aol", {}, "no width, depth; expected"),
        ("aol", {"width": 2.0, "depth": 1}, "width = 2.0; expected a whole number"),
        ("aol", {"width": True, "depth": 1}, "width = True; expected a whole number"),
        ("g-mondeq-conv", {"channels": 2, "pool": 4}, "do not divide"),
        ("winston2020-conv", {"channels": 2}, "do not divide"),
        ("mondeq-conv", {"channels": 2, "pool": 2, "kernel": 5}, "kernels of 5×5 taps"),
        ("lben-conv", {"channels": 0, "pool": 2}, "channels = 0"),
    ],
)
def test_what_does_not_fit_is_named(family, sizes, message):
    with pytest.raises(InputError, match=message) as caught:
        build(family, (1, 4, 6), 2, **sizes)
    assert "\n" not in str(caught.value)
