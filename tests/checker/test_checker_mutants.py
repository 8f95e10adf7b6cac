"""Wrong certificates: every one of them is rejected for the reason that it was made wrong.

Mutants are sealed again, so that no hash gives them away; `KEPT` repeats some with the old hashes.
"""

import copy
import json
import re

import numpy as np
import pytest
from checker_nets import SQRT2, claim, deep, small, write

from certlip.checker import CertificateError, check_certificate


def new(value, old):
    return value(old) if callable(value) else value


def put(index, value):
    """An array with one entry (or slice) changed: a number, or a function of the old one."""

    def change(array):
        array = array.copy()
        array[index] = new(value, array[index])
        return array

    return change


def times(factor, index=...):
    return put(index, lambda x: x * factor)


def weight(block, name, change):
    def mutate(d):
        own = d["blocks"][block][2]
        own[name] = change(own[name])

    return mutate


def proof(block, key, value):
    """Change one number, text or array of a proof; None removes it."""

    def mutate(d):
        node = d["proofs"][block]
        node[key] = new(value, node[key])
        if node[key] is None:
            del node[key]

    return mutate


def lower(by):
    """A number stored as text, times 1 − by."""
    return lambda text: repr(float(text) * (1 - by))


def sigma(block, *segments):
    return lambda d: d["blocks"][block][1].update(sigma=[*segments])


def samples(key, change):
    return lambda d: d["samples"].update({key: change(d["samples"][key])})


def state(change):
    return lambda d: d["samples"]["z"].update({"1": change(d["samples"]["z"]["1"])})


def first(d, status=0):
    """Number of the first sample with this status."""
    return int(np.flatnonzero(d["samples"]["status"] == status)[0])


def one(key, value, status=0):
    """Change one sample of this status, and count the claims again."""

    def mutate(d):
        d["samples"][key] = put(first(d, status), value)(d["samples"][key])
        claim(d)

    return mutate


def entry(*path, to):
    """Change an entry of the sealed document, given by its path."""

    def edit(text):
        node = document = json.loads(text)
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = to
        return json.dumps(document)

    return lambda d: d.update(json=edit)


def text(old, by):
    return lambda d: d.update(json=lambda document: document.replace(old, by))


def drop(*names, at):
    return lambda d: [d[name].pop(at) for name in names]


def turned(c):
    return (c + 1) % 3


def wrong_winner(d):
    """A certified sample predicts, and is labelled, another class."""
    i = first(d)
    for key in ("predicted", "label"):
        d["samples"][key] = put(i, turned)(d["samples"][key])


def tie(d):
    """All logits are equal, and the smallest radius is claimed."""
    weight(4, "W", lambda W: np.tile(W[0], (3, 1)))(d)
    weight(4, "b", np.zeros_like)(d)
    d["proofs"][4]["lipschitz_upper"], d["lipschitz_upper"] = "100", "1000"
    d["samples"]["radius_lower"] = np.where(d["samples"]["status"] == 0, 5e-324, 0.0)
    claim(d)


RADIUS = "radius_lower .* expected <= "  # the reason where only the samples tell
NUMBER = "expected a finite number"
CLAIMS = "claims: .*, expected {'natural_correct': 26"
LEAKY = ["leaky_relu", 6]

# In `small`: 0 normalize, 1 affine, 2 residual, 3 activation, 4 affine.
SMALL = {
    # the network no longer is the one that was proven, or that the guesses belong to
    "affine W scaled": (weight(1, "W", times(1.01)), "not proven"),
    "affine W sign": (weight(1, "W", times(-1)), RADIUS),
    "affine b changed": (weight(1, "b", times(-1)), RADIUS),
    "readout swapped": (weight(4, "W", lambda W: W[[1, 0, 2]]), RADIUS),
    "readout b changed": (weight(4, "b", put(0, 50.0)), RADIUS),
    "readout of no rows": (weight(4, "W", lambda W: W[:0]), "expected <f8"),
    "residual D nudged up": (weight(2, "D", times(1.5)), "not proven"),
    "residual D negative": (weight(2, "D", times(-1, 0)), "not proven"),
    "residual D infinite": (weight(2, "D", put(0, np.inf)), "not finite"),
    "residual W scaled": (weight(2, "W", times(1.5)), "not proven"),
    "residual W sign": (weight(2, "W", times(-1)), RADIUS),
    "std shrunk": (weight(0, "std", times(0.5)), "not proven"),
    "std negative": (weight(0, "std", times(-1, 0)), "not proven"),
    "std zero": (weight(0, "std", put(0, 0.0)), "not proven"),
    "mean moved": (weight(0, "mean", put(..., 5.0)), RADIUS),
    "sigma of the activation": (sigma(3, ["identity", 6, {}]), RADIUS),
    "sigma of another width": (sigma(3, ["relu", 7, {}]), "6 coordinates"),
    "sigma of a steep slope": (sigma(3, [*LEAKY, {"slope": 1.1}]), "parameter in"),
    "sigma of a negative slope": (sigma(3, [*LEAKY, {"slope": -0.1}]), "parameter in"),
    "sigma of a boolean slope": (sigma(3, [*LEAKY, {"slope": True}]), "parameter in"),
    "sigma of a NaN slope": (sigma(3, [*LEAKY, {"slope": np.nan}]), "NaN"),
    "sigma without a slope": (sigma(3, [*LEAKY, {}]), "keys"),
    "sigma unknown": (sigma(3, ["gelu", 6, {}]), "gelu"),
    "sigma with an unknown parameter": (sigma(3, ["relu", 6, {"slope": 1}]), "keys"),
    "sigma with a negative count": (sigma(3, ["relu", -1, {}], ["relu", 7, {}]), "count"),
    "block dropped": (drop("blocks", at=3), "one proof per block"),
    "block and proof dropped": (drop("blocks", "proofs", at=2), RADIUS),
    "all blocks dropped": (lambda d: (d["blocks"].clear(), d["proofs"].clear()), "0 blocks"),
    "blocks swapped": (
        lambda d: d["blocks"].insert(0, d["blocks"].pop(1)),
        "expected rule spectral",
    ),
    # the proof does not prove what it says
    "proof dropped": (drop("proofs", at=3), "one proof per block"),
    "rule swapped": (proof(1, "rule", "slope"), "'slope'.* expected rule"),
    "rule unknown": (proof(1, "rule", "trust"), "'trust'.* expected rule"),
    "L of an affine 1 % lower": (proof(1, "lipschitz_upper", lower(0.01)), "not proven"),
    "L of an affine 1e-8 lower": (proof(1, "lipschitz_upper", lower(1e-8)), "not proven"),
    "L of normalize lower": (proof(0, "lipschitz_upper", lower(1e-15)), "not proven"),
    "L of an activation lower": (proof(3, "lipschitz_upper", lower(1e-15)), "not proven"),
    "L of a residual lower": (proof(2, "lipschitz_upper", lower(1e-15)), "not proven"),
    "L as a JSON number": (proof(1, "lipschitz_upper", 9.0), NUMBER),
    "L as NaN": (proof(1, "lipschitz_upper", "nan"), NUMBER),
    "L as infinity": (proof(1, "lipschitz_upper", "1e999"), NUMBER),
    "L with blanks": (proof(1, "lipschitz_upper", " 9 "), NUMBER),
    "L missing": (proof(1, "lipschitz_upper", None), "keys"),
    "delta without its price": (proof(2, "delta", "1e-6"), "not proven"),
    "delta negative": (proof(2, "delta", "-0.1"), NUMBER),
    "delta missing": (proof(2, "delta", None), "keys"),
    "total L 1 % lower": (lambda d: d.update(lipschitz_upper="3.094"), "product"),
    "total L a hair lower": (lambda d: d.update(lipschitz_upper="3.1254477686"), "product"),
    # samples
    "radius 1e-8 up": (one("radius_lower", lambda r: r * (1 + 1e-8)), RADIUS),
    "label and prediction changed": (wrong_winner, RADIUS),
    "a tie certified": (tie, RADIUS),
    "all inputs moved": (samples("x", lambda x: x + 1e-4), RADIUS),
    "a divisor for doubles": (entry("data", "divisor", to=255), "u1"),
}

# In `deep`: 0 normalize, 1 equilibrium, on bytes.
DEEP = {
    "equilibrium W nudged": (weight(1, "W", times(1.001, (0, 1))), RADIUS),
    "equilibrium W sign": (weight(1, "W", times(-1)), "condition"),
    "equilibrium W transposed": (weight(1, "W", np.transpose), "condition"),
    "equilibrium W shrunk": (weight(1, "W", times(0.999)), RADIUS),
    "equilibrium W not square": (weight(1, "W", lambda W: W[:, :-1]), "expected <f8"),
    "equilibrium U scaled": (weight(1, "U", times(1.5)), "not proven"),
    "equilibrium G scaled": (weight(1, "G", times(1.5)), "not proven"),
    "equilibrium G sign": (weight(1, "G", times(-1)), RADIUS),
    "equilibrium b_z changed": (weight(1, "b_z", put(0, 3.0)), RADIUS),
    "equilibrium b_y changed": (weight(1, "b_y", put(0, 9.0)), RADIUS),
    "weights of float32": (weight(1, "W", lambda W: W.astype("<f4")), "<f4"),
    "relu becomes identity": (sigma(1, ["identity", 12, {}]), RADIUS),
    "relu becomes tanh": (sigma(1, ["tanh", 12, {}]), RADIUS),
    # the multipliers
    "condition 4": (proof(1, "condition", "4"), "'4'.* condition"),
    "lam negative": (proof(1, "lam", times(-1)), "not proven"),
    "one lam zero": (proof(1, "lam", put(3, 0.0)), "not proven"),
    "one lam negative": (proof(1, "lam", times(-1, 3)), "not proven"),
    "one lam tiny": (proof(1, "lam", put(3, 1e-20)), "not proven"),
    "one lam below range": (proof(1, "lam", put(3, 5e-324)), "not proven"),
    "lam times 10": (proof(1, "lam", times(10)), "not proven"),
    "lam of another length": (proof(1, "lam", lambda lam: lam[:-1]), "expected <f8"),
    "lam NaN": (proof(1, "lam", put(3, np.nan)), "not finite"),
    "one gam negative": (proof(1, "gam", times(-1, 3)), "condition|sqrt"),
    "gam changed": (proof(1, "gam", times(1e4, 3)), r"condition \(3\)"),
    "mu times 10": (proof(1, "mu_lower", lower(-9)), r"condition \(3\)"),
    "mu 2 % up": (proof(1, "mu_lower", lower(-0.02)), r"condition \(3\)"),
    "mu zero": (proof(1, "mu_lower", "0"), r"condition \(3\)"),
    "mu negative": (proof(1, "mu_lower", "-0.1"), NUMBER),
    "L of (10) 10 % lower": (proof(1, "lipschitz_upper", lower(0.1)), "not proven"),
    "L of (10) zero": (proof(1, "lipschitz_upper", "0"), "divide by zero"),
    # samples
    "radius 1e-6 up": (one("radius_lower", lambda r: r * (1 + 1e-6)), RADIUS),
    "radius without √2": (one("radius_lower", lambda r: r * SQRT2), RADIUS),
    "radius NaN": (one("radius_lower", np.nan), "not finite"),
    "radius infinite": (one("radius_lower", np.inf), "not finite"),
    "radius negative": (one("radius_lower", lambda r: -r), "agree"),
    "radius of a misclassified": (one("radius_lower", 5e-324, status=1), "agree"),
    "radii of float32": (samples("radius_lower", lambda r: r.astype("<f4")), "<f4"),
    "certified becomes unknown": (one("status", 2), "agree"),
    "certified becomes misclassified": (one("status", 1), "agree"),
    "certified becomes 3": (one("status", 3), "agree"),
    "misclassified becomes certified": (one("status", 0, status=1), "agree"),
    "label swapped": (one("label", turned), "agree"),
    "label no class": (one("label", 4, status=1), "agree"),
    "labels of objects": (samples("label", lambda c: c.astype(object)), "O"),
    "prediction changed": (one("predicted", turned), "agree"),
    "prediction negative": (one("predicted", -1, status=1), "agree"),
    "z NaN": (state(put(0, np.nan)), "not finite"),
    "z zero": (state(np.zeros_like), RADIUS),
    "z slightly off": (state(times(1 + 1e-6)), RADIUS),
    "z huge": (state(put(..., 1e300)), f"{RADIUS}|overflow"),
    "z too short": (state(lambda z: z[:-1]), "expected <f8"),
    "z missing": (lambda d: d["samples"]["z"].clear(), "keys"),
    "z of another block": (lambda d: d["samples"]["z"].update({"0": np.ones(1)}), "keys"),
    "x of one sample": (one("x", 255), RADIUS),
    "x truncated": (samples("x", lambda x: x[:-1]), "expected"),
    "x of another width": (samples("x", lambda x: x[:, :-1]), "expected <f8"),
    "divisor": (lambda d: d.update(divisor=254), RADIUS),
    "divisor zero": (entry("data", "divisor", to=0), "divisor"),
    "divisor negative": (entry("data", "divisor", to=-255), "divisor"),
    "divisor missing": (entry("data", "divisor", to=None), "NoneType"),
    "n too large": (entry("data", "n", to=31), "expected"),
    "n zero": (entry("data", "n", to=0), "expected"),
    # claims
    "one more natural": (
        entry("claims", "natural_correct", to=27),
        "'natural_correct': 27, .* expected .*'natural_correct': 26",
    ),
    "one more certified": (
        entry("claims", "certified_correct", "0.01", to=26),
        "'0.01': 26.* expected .*'0.01': 25",
    ),
    "a claim without its eps": (entry("claims", "certified_correct", "1", to=0), CLAIMS),
    "an eps without its claim": (entry("eps", "1", to="1"), CLAIMS),
    "eps below its text": (entry("eps", "36/255", to=repr(36 / 255)), "at least '36/255'"),
    "claims as text": (entry("claims", "natural_correct", to="26"), CLAIMS),
    "claims as a boolean": (entry("claims", "natural_correct", to=True), CLAIMS),
    # the statement and the schema
    "schema version": (entry("schema", to="certlip/certificate/3"), "schema"),
    "the first schema": (entry("schema", to="certlip/certificate/1"), "expected .*/2'"),
    "another norm": (entry("statement", "norm", to="linf"), "statement"),
    "another semantics": (entry("statement", "semantics", to="float32"), "statement"),
    "another unit": (entry("statement", "input_unit", to="normalized"), "statement"),
    "an unknown key of meta": (entry("model", "blocks", 0, "meta", "pad", to=1), "keys"),
    "an unknown kind": (entry("model", "blocks", 0, "kind", to="conv"), "KeyError .*conv"),
    "an array that is not listed": (entry("proofs", 1, "lam", to="nowhere"), "KeyError .*nowhere"),
    "NaN in the JSON": (entry("note", to=np.nan), "NaN"),
    "a huge JSON number": (text('"n": 30', '"n": 1e999'), "inf"),
    "a duplicate JSON key": (text('"n": 30', '"n": 30, "n": 30'), "once"),
}
RESEALED = {name: (small, *row) for name, row in SMALL.items()}
RESEALED |= {name: (deep, *row) for name, row in DEEP.items()}


def mutant(base, mutate):
    d = copy.deepcopy(base())
    mutate(d)
    return d


def judge(path):
    """The reason of the rejection; fails where the certificate is accepted."""
    try:
        verdict = check_certificate(path)
    except CertificateError as error:
        named, reason = str(path) in str(error), str(error).replace(str(path), "")
    else:
        named, reason = not verdict.accepted, verdict.reason
        assert verdict.lipschitz_upper == "inf"
        assert verdict.certified_accuracy == {}
    assert named
    assert "\n" not in reason
    return reason


@pytest.mark.parametrize("name", RESEALED)
def test_resealed_mutant_is_rejected(name, tmp_path):
    base, mutate, match = RESEALED[name]
    reason = judge(write(mutant(base, mutate), tmp_path / "m.certlip"))
    assert re.search(match, reason), reason


KEPT = [
    "equilibrium W nudged",
    "affine b changed",
    "residual D nudged up",
    "relu becomes identity",
    "lam times 10",
    "label swapped",
    "x of one sample",
    "z zero",
    "radius 1e-8 up",
    "divisor",
    "equilibrium W not square",
]


@pytest.mark.parametrize("name", KEPT)
def test_mutant_with_old_hashes_is_rejected_by_the_hash(name, tmp_path):
    base, mutate, _ = RESEALED[name]
    reason = judge(write(mutant(base, mutate), tmp_path / "m.certlip", keep=base()))
    assert "SHA-256" in reason or "sha256" in reason


@pytest.mark.parametrize("key", ["model_sha256", "data_sha256"])
def test_another_model_or_data_is_rejected(key, tmp_path):
    path = write(small(), tmp_path / "m.certlip")
    good = check_certificate(path)
    assert check_certificate(path, **{key: getattr(good, key).upper()}).accepted
    verdict = check_certificate(path, **{key: "0" * 64})
    assert not verdict.accepted
    assert getattr(good, key) in verdict.reason


def test_the_bases_are_accepted(tmp_path):
    for base in (small, deep):
        verdict = check_certificate(write(base(), tmp_path / "b.certlip"))
        assert verdict.accepted, verdict.reason
