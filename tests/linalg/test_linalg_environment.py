"""A process that does not compute as the proofs assume is refused."""

import pytest
import torch

from certlip.blocks import Affine, Network
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import require_ieee
from certlip.lmi import prove


def test_this_process_is_fine():
    require_ieee()


def test_flushed_subnormals_stop_every_proof():
    network = Network([Affine(torch.eye(2).double(), torch.zeros(2).double())])
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        with pytest.raises(InconclusiveError, match="set_flush_denormal"):
            prove(network)
    finally:
        torch.set_flush_denormal(False)
    assert prove(network).lip.value == 1.0
