"""Mutated certificates of real runs: every kind is rejected (1) or refused as unreadable (2).

Hashes are made to fit again after every change, so that it is the proof that fails and not a seal; the
mutants of the seals themselves are marked.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from sealed import put, read, scale, text, times, write


def first_certified(a):
    return int(np.flatnonzero(a["samples.status"] == 0)[0])


def on_first_certified(name, change):
    def mutate(d, a):
        i = first_certified(a)
        a[name] = a[name].copy()
        a[name][i] = change(a[name][i])

    return mutate


def swap_labels(d, a):
    labels = a["samples.label"].copy()
    i = first_certified(a)
    j = int(np.flatnonzero(labels != labels[i])[0])
    labels[[i, j]] = labels[[j, i]]
    a["samples.label"] = labels


def claim_misclassified(d, a):
    """Calls a misclassified or unknown sample certified, counts included."""
    i = int(np.flatnonzero(a["samples.status"] != 0)[0]) if (a["samples.status"] != 0).any() else 0
    a["samples.status"] = a["samples.status"].copy()
    a["samples.radius_lower"] = a["samples.radius_lower"].copy()
    a["samples.status"][i] = 0
    a["samples.radius_lower"][i] = 5.0
    for eps in d["claims"]["certified_correct"]:
        d["claims"]["certified_correct"][eps] += 1


def sign_of_skew_part(d, a):
    """W with the sign of S turned round: I − W = Ψ(P + K) becomes Ψ(P − K)."""
    lam, W = a["proof0.lam"], a["block0.W"]
    M = lam[:, None] * (np.eye(len(lam)) - W)
    a["block0.W"] = np.eye(len(lam)) - M.T / lam[:, None]


ANY = {
    "every radius up by 0.1 %": scale("samples.radius_lower", 1.001),
    "one radius up by 1e-6": on_first_certified("samples.radius_lower", lambda r: r * (1 + 1e-6)),
    "a radius NaN": on_first_certified("samples.radius_lower", lambda r: np.nan),
    "a radius infinite": on_first_certified("samples.radius_lower", lambda r: np.inf),
    "a radius negative": on_first_certified("samples.radius_lower", lambda r: -r),
    "a radius on a sample not certified": on_first_certified("samples.status", lambda s: 2),
    "a status that is none": on_first_certified("samples.status", lambda s: 7),
    "labels swapped": swap_labels,
    "a label out of range": put("samples.label", 0, 10),
    "another prediction": on_first_certified("samples.predicted", lambda p: (p + 1) % 10),
    "misclassified called certified": claim_misclassified,
    "natural count up": text(("claims", "natural_correct"), lambda n: n + 1),
    "certified count up": text(("claims", "certified_correct", "36/255"), lambda n: n + 1),
    "eps rounded down": text(("eps", "36/255"), lambda e: repr(float(np.nextafter(float(e), 0)))),
    "eps of another value": text(("eps", "36/255"), lambda e: "0.1"),
    "top-level L lower": text(("lipschitz_upper",), times(0.99)),
    "L of a block lower": text(("proofs", 0, "lipschitz_upper"), times(0.98)),
    "L NaN": text(("lipschitz_upper",), lambda _: "nan"),
    "inputs changed": put("samples.x", slice(0, 64), 16),
    "another divisor": text(("data", "divisor"), lambda _: 8),
    "a proof dropped": text(("proofs",), lambda p: p[:-1]),
    "a block dropped": text(("model", "blocks"), lambda b: b[:-1]),
    "the rule of another block": text(("proofs", 0, "rule"), lambda _: "slope"),
    "another norm": text(("statement", "norm"), lambda _: "linf"),
    "another semantics": text(("statement", "semantics"), lambda _: "float32"),
    "another schema": text(("schema",), lambda _: "certlip/certificate/3"),
    "fewer samples said": text(("data", "n"), lambda n: n - 1),
    "a label missing": lambda d, a: a.__setitem__("samples.label", a["samples.label"][:-1]),
    "radii in float32": lambda d, a: a.__setitem__(
        "samples.radius_lower", a["samples.radius_lower"].astype(np.float32)
    ),
}
LBEN = {
    "a weight nudged": put("block0.W", 5, 0.5),
    "W with the opposite sign": scale("block0.W", -1.0),
    "the skew part with the opposite sign": sign_of_skew_part,
    "a weight NaN": put("block0.W", 5, np.nan),
    "G scaled up": scale("block0.G", 1.01),
    "U scaled up": scale("block0.U", 1.01),
    "a bias changed": put("block0.b_z", 80, 1.0),
    "Λ scaled by 2": scale("proof0.lam", 2.0),
    "Λ with the opposite sign": scale("proof0.lam", -1.0),
    "Λ with a zero": put("proof0.lam", 3, 0.0),
    "Λ with a negative entry": put("proof0.lam", 3, -1e-3),
    "Γ with the opposite sign": scale("proof0.gam", -1.0),
    "Γ with an infinity": put("proof0.gam", 3, np.inf),
    "μ raised": text(("proofs", 0, "mu_lower"), times(10.0)),
    "μ zero": text(("proofs", 0, "mu_lower"), lambda _: "0.0"),
    "no residual activations": text(
        ("model", "blocks", 0, "meta", "sigma"), lambda s: [["identity", sum(x[1] for x in s), {}]]
    ),
    "states of zeros": scale("samples.z0", 0.0),
    "states NaN": put("samples.z0", 7, np.nan),
    "no states": lambda d, a: (
        d["samples"]["z"].pop("0"),
        a.pop("samples.z0"),
        d["arrays"].pop("samples.z0"),
    ),
}
SLL = {
    "a weight nudged": put("block0.W", 5, 3.0),
    "D nudged up": scale("block2.D", 1.001),
    "D with a negative entry": put("block2.D", 0, -1e-3),
    "δ negative": text(("proofs", 0, "delta"), lambda _: "-0.1"),
    "δ unexplained": text(("proofs", 0, "delta"), lambda _: "0.2"),
    "a bias changed": put("block1.b", 3, 2.0),
    "W with the opposite sign": scale("block3.W", -1.0),
}
CASES = [
    *(("lben", name, change) for name, change in {**ANY, **LBEN}.items()),
    *(("sll", name, change) for name, change in {**ANY, **SLL}.items()),
]


@pytest.fixture(scope="module")
def originals(story):
    return {name: read(story / f"{name}.certlip") for name in ("sll", "lben")}


@pytest.mark.parametrize(("model", "name", "change"), CASES, ids=[f"{m}: {n}" for m, n, _ in CASES])
def test_mutants_are_rejected(model, name, change, originals, certlip, tmp_path):
    document, arrays = copy.deepcopy(originals[model])
    change(document, arrays)
    path = tmp_path / "mutant.certlip"
    write(path, document, arrays)
    result = certlip("verify", path)
    assert result.code in (1, 2), result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("model", ["sll", "lben"])
def test_the_unchanged_copy_is_accepted(model, originals, certlip, tmp_path):
    write(tmp_path / "copy.certlip", *copy.deepcopy(originals[model]))
    assert certlip("verify", tmp_path / "copy.certlip").code == 0


@pytest.mark.parametrize("member", ["block0.W", "proof0.lam", "samples.z0", "samples.label"])
def test_a_seal_that_does_not_fit_is_rejected(member, originals, certlip, tmp_path):
    document, arrays = copy.deepcopy(originals["lben"])
    array = arrays[member]
    array.reshape(-1)[1] = (
        array.reshape(-1)[1] + 1e-9 if array.dtype == np.float64 else 1 - array.reshape(-1)[1]
    )
    write(tmp_path / "mutant.certlip", document, arrays, reseal=False)
    assert certlip("verify", tmp_path / "mutant.certlip").code in (1, 2)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_files_are_unreadable(share, story, certlip, tmp_path):
    content = (story / "lben.certlip").read_bytes()
    (tmp_path / "cut.certlip").write_bytes(content[: int(share * len(content))])
    assert certlip("verify", tmp_path / "cut.certlip").code == 2


def test_flipped_bits_are_never_accepted_as_something_else(story, certlip, tmp_path, originals):
    """A flipped bit is refused, or changes nothing that the certificate says."""
    content = (story / "sll.certlip").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        changed = bytearray(content)
        changed[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (tmp_path / "flip.certlip").write_bytes(changed)
        if certlip("verify", tmp_path / "flip.certlip").code == 0:
            document, arrays = read(tmp_path / "flip.certlip")
            assert document == originals["sll"][0]
            assert all(np.array_equal(arrays[k], v) for k, v in originals["sll"][1].items())
