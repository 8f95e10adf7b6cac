"""The JSON Schema of certificates: written documents fit it, other shapes do not."""

import copy

import jsonschema
import pytest
from test_certificate_mutants import BASES, original

from certlip.checker.blocks import _KINDS as CHECKED
from certlip.report import load_schema

VALIDATOR = jsonschema.Draft202012Validator(load_schema("certificate-2"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("originals")


@pytest.mark.parametrize("base", BASES)
def test_written_documents_fit(base, folder):
    document, _ = original(folder, base)
    VALIDATOR.validate(document)


def test_every_kind_of_the_checker_is_described_with_its_arrays_and_fields():
    described = {}
    for node in VALIDATOR.schema["properties"]["model"]["properties"]["blocks"]["items"]["oneOf"]:
        own = node["properties"]
        described[own["kind"]["const"]] = (
            set(own["arrays"]["required"]),
            set(own["meta"]["required"]),
        )
    assert described == {
        kind: ({part.split(":")[0] for part in arrays.split()}, set(keys.split()))
        for kind, (arrays, keys, *_) in CHECKED.items()
    }


def each(*path, to):
    def change(d):
        node = d
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = to

    return change


def without(*path):
    def change(d):
        node = d
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]

    return change


SHAPES = {
    "another version": each("schema", to="certlip/certificate/3"),
    "another norm": each("statement", "norm", to="linf"),
    "more said": each("note", to=1),
    "no proofs": without("proofs"),
    "no blocks": each("model", "blocks", to=[]),
    "an unknown kind": each("model", "blocks", 1, "kind", to="conv"),
    "an array missing": without("model", "blocks", 1, "arrays", "W"),
    "an array more": each("model", "blocks", 1, "arrays", "V", to="block1.V"),
    "meta missing": each("model", "blocks", 1, "meta", to={}),
    "meta more": each("model", "blocks", 0, "meta", "pad", to=1),
    "sigma of another name": each("model", "blocks", 1, "meta", "sigma", 0, 0, to="gelu"),
    "sigma of no coordinates": each("model", "blocks", 1, "meta", "sigma", 0, 1, to=0),
    "a steep slope": each("model", "blocks", 1, "meta", "sigma", 0, 2, to={"slope": 1.5}),
    "another rule": each("proofs", 0, "rule", to="trust"),
    "no Γ": without("proofs", 1, "gam"),
    "another condition": each("proofs", 1, "condition", to="4"),
    "pairs without Λ": without("proofs", 1, "pairs", "lam"),
    "a bound as a number": each("lipschitz_upper", to=1.0),
    "a bound NaN": each("lipschitz_upper", to="nan"),
    "a negative bound": each("proofs", 0, "lipschitz_upper", to="-1.0"),
    "a hash too short": each("model", "sha256", to="abc"),
    "no number of samples": without("data", "n"),
    "a divisor of 0": each("data", "divisor", to=0),
    "states by name": each("samples", "z", to={"one": "samples.z1"}),
    "eps of a text": each("eps", to={"large": "1"}),
    "a negative count": each("claims", "natural_correct", to=-1),
    "a dtype of objects": each("arrays", "samples.x", "dtype", to="|O"),
    "a shape of fractions": each("arrays", "samples.x", "shape", to=[0.5]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_other_shapes_do_not_fit(name, folder):
    document, _ = copy.deepcopy(original(folder, "pairs"))
    SHAPES[name](document)
    assert not VALIDATOR.is_valid(document)
