"""What is kept belongs to the parameters as they are: every way of changing them is seen."""

import copy
import pickle

import pytest
import torch

from certlip.linalg.kept import Kept


def changes():
    other = torch.full((3,), 5.0)

    def optimizer_step(p):
        p.grad = torch.ones_like(p)
        torch.optim.Adam([p], lr=0.1).step()

    def load(p):
        module = torch.nn.ParameterDict({"p": p})
        module.load_state_dict({"p": other})

    def in_place(p):
        with torch.no_grad():
            p += 1.0

    def one_entry(p):
        with torch.no_grad():
            p[0] = 7.0

    def another_storage(p):
        p.data = other.clone()

    return [optimizer_step, load, in_place, one_entry, another_storage]


@pytest.mark.parametrize("change", changes(), ids=lambda f: f.__name__)
def test_a_change_is_seen(change):
    p = torch.nn.Parameter(torch.arange(3.0))
    kept: Kept[float] = Kept()
    count = []

    def total():
        count.append(1)
        return float(p.detach().sum())

    assert kept.find([p]) is None
    assert kept.get([p], total) == kept.get([p], total) == 3.0
    assert len(count) == 1
    change(p)
    assert kept.find([p]) is None
    assert kept.get([p], total) == float(p.detach().sum()) != 3.0
    assert len(count) == 2


def test_copies_start_empty():
    p = torch.nn.Parameter(torch.ones(2))
    kept: Kept[int] = Kept()
    kept.store([p], 1)
    assert kept.find([p]) == 1
    for twin in (copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert twin.find([p]) is None


def test_tensors_without_versions_are_never_kept():
    with torch.inference_mode():
        p = torch.ones(2)
    kept: Kept[int] = Kept()
    assert kept.get([p], lambda: 1) == 1
    assert kept.get([p], lambda: 2) == 2


def test_another_parameter_in_the_same_place_is_another_parameter():
    module = torch.nn.Linear(64, 64, bias=False)
    kept: Kept[float] = Kept()

    def total() -> float:
        return float(module.weight.detach().sum())

    for _ in range(20):
        assert kept.get(module.parameters(), total) == total()
        for factor in (2.0, 0.25):  # the memory of the first is free for the second
            module.weight = torch.nn.Parameter(factor * module.weight.detach())


def test_plain_numbers_belong_to_the_key():
    p = torch.nn.Parameter(torch.ones(2))
    kept: Kept[int] = Kept()
    kept.store([p], 1, also=(1.0, None))
    assert kept.find([p], also=(1.0, None)) == 1
    assert kept.find([p], also=(2.0, None)) is None


def test_nothing_made_in_inference_mode_is_kept():
    p = torch.nn.Parameter(torch.ones(2))
    kept: Kept[torch.Tensor] = Kept()
    with torch.inference_mode():
        kept.get([p], lambda: 2.0 * p)
    value = kept.get([p], lambda: 2.0 * p.detach())
    assert not value.is_inference()
