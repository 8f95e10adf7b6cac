"""What decides the exit code: gates, refuted proofs, broken certificates."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest

from certlip.blocks import load


@pytest.mark.parametrize(
    ("gate", "code"), [("36/255=0.1", 0), ("36/255=1", 1), ("0.1=0.2,36/255=0.999", 1), ("9=0", 0)]
)
def test_gates_decide_the_exit_code(certlip, story, gate, code):
    line = ("certify", story / "sll" / "model.pt", "--dataset", "digits", "--limit", 60)
    for extra in ((), ("--json",), ("-q",)):
        assert certlip(*line, "--falsify", 0, "--fail-under", gate, *extra).code == code


def test_a_gate_that_only_undecided_samples_could_save_is_inconclusive(certlip, tmp_path):
    import torch

    from certlip.blocks import Affine, Network, save

    # two logits that are always equal: every sample is a tie, which is never certified
    network = Network([Affine(torch.ones(2, 2, dtype=torch.float64), torch.zeros(2).double())])
    save(network, tmp_path / "tie.pt")
    np.savez(tmp_path / "data.npz", x=np.full((4, 2), 0.5), y=np.array([0, 0, 0, 1]))
    line = ("certify", tmp_path / "tie.pt", "--dataset", f"npz:{tmp_path / 'data.npz'}")
    result = certlip(*line, "--eps", "0.1", "--json")
    assert result.document["counts"]["certified"] == 0
    assert result.document["counts"]["unknown"] == 3
    assert certlip(*line, "--fail-under", "0.1=0.75").code == 3
    assert certlip(*line, "--fail-under", "0.1=0.8").code == 1


@pytest.mark.parametrize("share", [1, 5, 11, 28, 55, 56, 57, 58, 99])
def test_a_gate_is_the_decimal_that_was_written(share):
    """The double nearest to 0.55 lies above 0.55; 55 of 100 samples meet 0.55 all the same."""
    from certlip_cli.gate_words import parse_fail_under
    from certlip_cli.gates import judge
    from certlip_cli.measured import Measured

    def counted(certified):
        return Measured(100, 100, {Fraction("0.1"): certified}, 0, "1.0")

    gates = parse_fail_under(f"0.1={share / 100}")
    assert judge(counted(share), gates)[1] == 0
    assert judge(counted(share - 1), gates)[1] == 1


def test_a_model_whose_proof_fails_has_no_certified_accuracy(certlip, story, tmp_path):
    """The published slip V·V for VᵀV: once V is trained the model leaves its constraint."""
    import torch

    from certlip.blocks import Equilibrium, Network, Origin, save
    from certlip.reparam import reparametrize

    lben = reparametrize(load(story / "sll" / "model.pt")).lben
    with torch.no_grad():
        torch.manual_seed(1)
        lben.V += 0.05 * torch.randn_like(lben.V)
    right = lben.freeze()
    psi = lben.log_psi.detach().exp()
    V = lben.V.detach()
    wrong = right.W + psi[:, None] * (V.T @ V) - psi[:, None] * (V @ V)
    parts = (right.U, right.G, right.b_z, right.b_y, right.sigma, right.origin)
    save(Network([Equilibrium(right.W, *parts)]), tmp_path / "right.pt")
    save(Network([Equilibrium(wrong, *parts)]), tmp_path / "wrong.pt")
    assert isinstance(right.origin, Origin)
    assert certlip("check-lmi", tmp_path / "right.pt").code == 0
    refuted = certlip("check-lmi", tmp_path / "wrong.pt")
    assert refuted.code == 1
    assert "does not hold" in refuted.err
    result = certlip("certify", tmp_path / "wrong.pt", "--dataset", "digits", "--json")
    assert result.code == 1
    assert result.out == ""


def test_a_broken_certificate_exits_with_5(certlip, story, tmp_path, monkeypatch):
    """A planted bug (√2 missing and L halved) is caught by the falsifier and wins over all."""
    from certlip.certification import certifier

    def too_small(network, lip, before_last):
        return np.full((network.classes, network.classes), 0.3)

    monkeypatch.setattr(certifier, "pair_bounds", too_small)
    result = certlip(
        *("certify", story / "sll" / "model.pt", "--dataset", "digits", "--limit", 40),
        *("--falsify", 40, "--fail-under", "36/255=0.1", "--certificate", tmp_path / "c.certlip"),
        *("--report", tmp_path / "r", "--json"),
    )
    assert result.code == 5
    assert "UNSOUND" in result.err
    assert f"wrote {tmp_path / 'c.certlip'}" not in result.err
    assert result.document["falsifier"]["broken"] > 0
    assert not (tmp_path / "c.certlip").exists()
    assert np.load(tmp_path / "r" / "counterexamples.npz")["point"].shape[1] == 64


def test_a_broken_certificate_wins_over_a_closed_stdout(monkeypatch):

    from certlip_cli.session import Session

    from certlip.errors import InputError, UnsoundError

    session = Session(0, "cpu", None, json_output=True, quiet=True, verbose=False)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(UnsoundError, match="stdout is closed"):
        session.emit({"exit_code": 5})
    with pytest.raises(InputError, match="stdout is closed"):
        session.emit({"exit_code": 1})
