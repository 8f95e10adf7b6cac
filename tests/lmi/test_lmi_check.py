"""`check`: what is proven, refuted and undecided, row by row, and a bound only if all is proven."""

import numpy as np
import pytest
import torch
from lmi_nets import block_of, mondeq_block

from certlip.blocks import Affine, Network, Normalize
from certlip.errors import InputError
from certlip.lmi import prove
from certlip.lmi.check import check, exit_code
from certlip.lmi.search import Search


def affine(scale):
    return Affine(torch.from_numpy(scale * np.eye(3)), torch.zeros(3).double())


def outcomes(rows):
    return [(row["name"], row["condition"], row["outcome"]) for row in rows]


def test_a_sound_network_is_proven_row_by_row():
    network = Network([mondeq_block(0), affine(2.0)])
    rows, lip = check(network, ("3", "4", "10"))
    assert [row["outcome"] for row in rows] == ["proven"] * 4
    assert [row["condition"] for row in rows[:3]] == ["3", "4", "10"]
    assert exit_code(rows) == 0
    assert lip is not None
    assert lip.value == prove(network).lip.value


def test_a_refuted_condition_leaves_no_bound():
    ill_posed = block_of(2 * np.eye(3), np.eye(3), np.eye(3), np.ones(3))
    rows, lip = check(Network([ill_posed, affine(1.0)]))
    assert lip is None
    assert [row["outcome"] for row in rows][:2] == ["refuted", "refuted"]
    assert not any(row["proven"] for row in rows[:2])
    assert exit_code(rows) == 1


def test_a_prescribed_bound_below_the_truth_is_refuted():
    block = block_of([[0.0]], [[1.0]], [[1.0]], [1.0])
    assert check(Network([block]), lip=1.01)[1].value == 1.01
    rows, lip = check(Network([block]), lip=0.99)
    assert (lip, exit_code(rows)) == (None, 1)


def test_well_posedness_alone_bounds_nothing():
    rows, lip = check(Network([mondeq_block(0)]), ("3",))
    assert (lip, len(rows), exit_code(rows)) == (None, 1, 0)


def test_unknown_origin_and_overflow_are_undecided():
    bare = block_of(np.zeros((3, 3)), np.eye(3), np.eye(3))
    tiny = Normalize(torch.zeros(3).double(), torch.from_numpy(np.full(3, 1e-310)))
    huge = affine(1e308)
    dense = Affine(torch.from_numpy(np.full((3, 3), 1e308)), torch.zeros(3).double())
    for block in (bare, tiny, dense):
        rows, lip = check(Network([block]), searches=[Search("analytic")])
        assert (lip, exit_code(rows)) == (None, 3)
    rows, lip = check(Network([bare]))  # of itself it asks the solver
    assert exit_code(rows) == 0
    assert 1.0 <= lip.value <= 1.0 + 1e-5
    assert check(Network([huge, huge]))[1] is None


@pytest.mark.parametrize("lip", [0.0, -1.0, np.nan, np.inf])
def test_a_prescribed_bound_must_be_positive_and_finite(lip):
    with pytest.raises(InputError, match="positive finite"):
        check(Network([mondeq_block(0)]), lip=lip)


def test_an_unknown_condition_is_refused():
    with pytest.raises(InputError, match="expected some of 3, 4, 10"):
        check(Network([mondeq_block(0)]), ("5",))
