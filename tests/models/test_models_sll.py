"""The SLL classifier: frozen logits, a proven constant, and every size it must refuse."""

import pytest
import torch

from certlip.errors import InputError
from certlip.lmi import prove
from certlip.models import MODELS, SLLClassifier
from certlip.solvers import Evaluator

SIZES = [(6, 3, 6, 4, 1), (6, 3, 9, 5, 3), (2, 5, 5, 8, 4), (4, 4, 4, 3, 2)]


def classifier(sizes, seed=0):
    torch.manual_seed(seed)
    d, classes, width, hidden, depth = sizes
    model = SLLClassifier(d, classes, width=width, hidden=hidden, depth=depth).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.log_q.normal_()
            layer.bias.normal_()
    return model


@pytest.mark.parametrize("sizes", SIZES)
def test_frozen_network_is_the_model_and_provably_one_lipschitz(sizes):
    model = classifier(sizes)
    network, x = model.freeze(), 3 * torch.randn(64, sizes[0]).double()
    assert (network.in_width, network.classes) == sizes[:2]
    torch.testing.assert_close(Evaluator(network)(x), model(x), rtol=1e-7, atol=1e-7)
    assert prove(network).lip.value == 1.0
    jacobians = torch.vmap(torch.func.jacrev(lambda v: model(v[None])[0]))(x).detach()
    assert float(torch.linalg.matrix_norm(jacobians, 2).max()) <= 1.0 + 1e-12


def test_float32_training_still_freezes_to_a_proven_network():
    model = classifier(SIZES[1]).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x, label = torch.randn(64, 6), torch.randint(0, 3, (64,))
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), label).backward()
        optimizer.step()
    network = model.freeze()
    assert prove(network).lip.value == 1.0
    torch.testing.assert_close(
        Evaluator(network)(x.double()).float(), model(x), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "change", [{"width": 5}, {"width": 2}, {"depth": 0}, {"hidden": 0}, {"classes": 7}]
)
def test_sizes_that_do_not_fit_are_refused(change):
    options = {"d": 6, "classes": 3, "width": 6, "hidden": 4, "depth": 1} | change
    with pytest.raises(InputError, match="expected at least"):
        SLLClassifier(**options)


def test_registry_names_the_models():
    assert MODELS["sll"] is SLLClassifier
