"""Files that are not certificates: one error, one line, the file in it; never a traceback."""

import json
import struct
import tracemalloc
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from checker_nets import deep, document, npy, write

from certlip.checker import CertificateError, check_certificate
from certlip.checker.__main__ import main
from certlip.checker.reading import number


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.certlip"


def refuse(path, match):
    with pytest.raises(CertificateError, match=match) as caught:
        check_certificate(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "expected" in message


def members(change):
    """A valid certificate with its list of members changed."""
    d = deep()
    d["members"] = change
    return d


def replaced(name, data):
    return members(lambda parts: [(n, data if n == name else old) for n, old in parts])


def test_missing_file_and_directory(tmp_path):
    refuse(tmp_path / "none", "FileNotFoundError")
    refuse(tmp_path, "IsADirectoryError|PermissionError")


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip file" * 100, b"PK\x05\x06" + bytes(18)])
def test_no_zip_file(path, data):
    path.write_bytes(data)
    refuse(path, "expected")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file(path, part):
    data = write(deep(), path).read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    refuse(path, "expected")


def test_flipped_bytes_never_escape(path):
    """A flip ends in an error or a rejection, or it changed nothing that is read."""
    data = write(deep(), path).read_bytes()
    good = check_certificate(path)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            verdict = check_certificate(path)
        except CertificateError:
            continue
        assert not verdict.accepted or verdict.checks == good.checks


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda parts: parts[1:], "certificate.json"),
        (lambda parts: parts[:-1], "keys"),
        (lambda parts: [*parts, ("extra.npy", npy(np.ones(2)))], "extra"),
        (lambda parts: [*parts, ("readme.txt", b"")], "readme"),
        (lambda parts: [*parts, ("folder/", b"")], "folder"),
    ],
)
def test_members_are_the_listed_ones(path, change, match):
    refuse(write(members(change), path), match)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_members(path):
    refuse(write(members(lambda parts: [*parts, parts[-1]]), path), "once")


NAME = "samples.label.npy"
HEADER = "{'descr': '<i8', 'fortran_order': False, 'shape': (%s,), }"


def raw(header, data):
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "magic"),
        (npy(np.arange(30))[:-8], "EOF"),
        (npy(np.arange(29)), "'shape': \\[29\\]"),
        (npy(np.arange(30).reshape(5, 6)), "'shape': \\[5, 6\\]"),
        (npy(np.arange(30).astype(">i8")), "'>i8'"),
        (npy(np.arange(30).astype(object)), "Object arrays"),
        (npy(np.zeros(30, [("a", "<i8")])), "'|V8'"),
        (raw(HEADER % 10**15, bytes(240)), "MemoryError"),
        (raw(HEADER % -30, bytes(240)), "expected"),
        (raw("(" * 9000, bytes(240)), "expected"),
        (raw(HEADER % 30, bytes(232)), "EOF"),
        (b"\x93NUMPY\x09\x00" + bytes(300), "version"),
    ],
)
def test_headers_that_lie(path, data, match):
    refuse(write(replaced(NAME, data), path), match)


def test_bytes_behind_an_array(path):
    _, arrays = document(deep())
    refuse(write(replaced(NAME, npy(arrays["samples.label"]) + bytes(8)), path), "and more bytes")


def test_header_and_listing_that_lie_together(path):
    d = replaced(NAME, raw(HEADER % 10**15, bytes(240)))

    def edit(text):
        doc = json.loads(text)
        doc["arrays"]["samples.label"]["shape"] = [10**15]
        return json.dumps(doc)

    d["json"] = edit
    refuse(write(d, path), "MemoryError")


def test_fortran_order_is_read(path):
    _, arrays = document(deep())
    U = np.asfortranarray(arrays["block1.U"])
    assert check_certificate(write(replaced("block1.U.npy", npy(U)), path)).accepted


def test_a_bomb_is_not_unpacked(path):
    """Sizes are judged by the directory of the archive, before any decompression."""
    d = members(lambda parts: [*parts, ("bomb.npy", bytes(200 << 20))])
    write(d, path)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    refuse(path, "bomb")
    data = bytearray(path.read_bytes())
    place = data.rindex(b"bomb.npy") - 46  # the directory entry: uncompressed size at 24
    data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFF00)
    path.write_bytes(data)
    refuse(path, "bytes, expected <=")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_member_longer_than_declared_is_not_read_on(path):
    d = replaced(NAME, npy(np.zeros(30 << 20, np.int64)))
    data = bytearray(write(d, path).read_bytes())
    place = data.rindex(NAME.encode()) - 46
    data[place + 24 : place + 28] = struct.pack("<I", 128 + 240)
    path.write_bytes(data)
    tracemalloc.start()
    refuse(path, "expected")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_encrypted_and_unknown_compression(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("certificate.json", "{}")
    refuse(path, "deflated")
    data = bytearray(write(deep(), path).read_bytes())
    data[data.rindex(b"certificate.json") - 46 + 8] |= 1  # the flag of encryption
    path.write_bytes(data)
    refuse(path, "encrypted")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": NaN}',
        b'{"a": [-Infinity]}',
        b'{"a": 1e400}',
        b'{"a": 1',
        b'{"a": 1} x',
        b'\xff{"a": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_json_is_strict(path, text):
    refuse(write(replaced("certificate.json", text), path), "expected")


PATHS = [
    ("schema",),
    ("statement",),
    ("model",),
    ("model", "sha256"),
    ("model", "blocks"),
    ("model", "blocks", 1),
    ("model", "blocks", 1, "kind"),
    ("model", "blocks", 1, "meta"),
    ("model", "blocks", 1, "meta", "sigma"),
    ("model", "blocks", 1, "meta", "sigma", 0),
    ("model", "blocks", 1, "meta", "sigma", 0, 0),
    ("model", "blocks", 1, "meta", "sigma", 0, 1),
    ("model", "blocks", 1, "meta", "sigma", 0, 2),
    ("model", "blocks", 1, "arrays"),
    ("model", "blocks", 1, "arrays", "W"),
    ("proofs",),
    ("proofs", 1),
    ("proofs", 1, "rule"),
    ("proofs", 1, "condition"),
    ("proofs", 1, "lam"),
    ("proofs", 1, "mu_lower"),
    ("lipschitz_upper",),
    ("data",),
    ("data", "n"),
    ("data", "sha256"),
    ("data", "divisor"),
    ("samples",),
    ("samples", "x"),
    ("samples", "z"),
    ("samples", "z", "1"),
    ("eps",),
    ("eps", "0.01"),
    ("claims",),
    ("claims", "natural_correct"),
    ("claims", "certified_correct"),
    ("claims", "certified_correct", "0.01"),
    ("arrays",),
    ("arrays", "samples.x"),
    ("arrays", "samples.x", "dtype"),
    ("arrays", "samples.x", "shape"),
    ("arrays", "samples.x", "sha256"),
]


@pytest.mark.parametrize("place", PATHS, ids=lambda p: ".".join(map(str, p)))
def test_wrong_types_and_missing_entries(path, place):
    """Whatever stands at an entry of the document, the certificate is not accepted."""
    for value in (None, True, -1, 1e9, "", "\ud800\n", [], [None], {}, {"": 0}, "missing"):

        def edit(text, value=value):
            node = doc = json.loads(text)
            for key in place[:-1]:
                node = node[key]
            if value == "missing" or value == node[place[-1]]:
                del node[place[-1]]
            else:
                node[place[-1]] = value
            return json.dumps(doc)

        d = deep()
        d["json"] = edit
        write(d, path)
        try:
            verdict = check_certificate(path)
        except CertificateError as error:
            verdict, text = None, str(error)
        else:
            text = verdict.reason
        assert verdict is None or not verdict.accepted
        assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "value"), [("36/255", 36 / 255), ("1", 1), ("0.1", 0.1), ("1e-3", 1e-3), ("2E+1", 20)]
)
def test_eps_texts(text, value):
    assert float(number(text, Fraction)) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "1/0", "0x1", "1/2/3", "nan", "inf", " 1", "1_0", "١", "1e9999", ".5", "1."]
)
def test_eps_texts_that_are_refused(text):
    with pytest.raises(CertificateError, match="expected a finite number"):
        number(text, Fraction)


def test_exit_codes(path, capsys):
    write(deep(), path)
    assert main([str(path)]) == 0
    assert "accepted: " in capsys.readouterr().out
    d = deep()
    d["lipschitz_upper"] = "1"
    assert main([str(write(d, path))]) == 1
    assert "REJECTED: lipschitz_upper: 1.0, expected" in capsys.readouterr().out
    path.write_bytes(b"")
    assert main([str(path)]) == 2
    assert "unreadable: " in capsys.readouterr().err
