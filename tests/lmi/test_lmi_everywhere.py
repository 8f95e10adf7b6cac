"""Definiteness of conditions: verified Cholesky and the a-posteriori proof agree on what holds."""

from __future__ import annotations

import numpy as np
import pytest
from lmi_nets import mondeq_block

from certlip.lmi.analytic import multipliers
from certlip.lmi.everywhere import Everywhere, a_posteriori
from certlip.lmi.inequality import smallest_lipschitz


@pytest.mark.parametrize("seed", range(5))
def test_the_proof_from_products_alone_gives_the_same_bounds(seed):
    block = mondeq_block(seed)
    guess = multipliers(block)
    usual, other = Everywhere(block), Everywhere(block)
    other.is_definite = lambda ball: a_posteriori(ball, "cpu")
    bound, again = (smallest_lipschitz(each, guess, None).value for each in (usual, other))
    assert again == pytest.approx(bound, rel=1e-9)
    below = 0.5 * np.linalg.eigvalsh(next(iter(usual)).lipschitz(guess.lam, bound).mid)[-1]

    def shifted(each):
        return each.lipschitz(guess.lam, bound) - 3.0 * below * np.eye(each.order)

    assert not usual.definite(shifted)
    assert not other.definite(shifted)


def test_another_device_than_the_cpu_never_trusts_its_factorization():
    assert Everywhere(mondeq_block(0)).is_definite is Everywhere(mondeq_block(1)).is_definite
    assert Everywhere(mondeq_block(0), "cuda").is_definite.func is a_posteriori
