"""Saving: whole or not at all, in the right place, with an error that says why."""

from dataclasses import replace

import pytest
import torch
from model_files import (
    SUFFIXES,
    assert_refused,
    both,
    equilibrium_of,
    names,
    network,
)

from certlip.blocks import (
    Network,
    files,
    load,
    save,
)
from certlip.errors import InputError


def test_paths_that_are_no_model_file_are_refused(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "m.txt").write_text("x")
    (tmp_path / "m").write_text("x")
    assert_refused(tmp_path / "absent.pt", "no such file")
    assert_refused(tmp_path / "folder.pt", "a folder; expected a model file")
    assert_refused(tmp_path / "m.txt" / "m.pt", "no such file")
    assert_refused(tmp_path / "m.txt", r"ends in .pt or .safetensors")
    assert_refused(tmp_path / "m", r"ends in .pt or .safetensors")
    assert_refused(tmp_path / ("n" * 5000 + ".pt"), "cannot be read")


@both
def test_the_other_format_under_this_name_is_refused(tmp_path, suffix):
    other = SUFFIXES[1 - SUFFIXES.index(suffix)]
    save(network(), tmp_path / f"m{other}")
    (tmp_path / f"m{other}").rename(tmp_path / f"m{suffix}")
    assert_refused(tmp_path / f"m{suffix}")


def refused_save(net, path, match):
    with pytest.raises(InputError, match=match) as caught:
        save(net, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@both
def test_a_place_that_cannot_be_written_is_refused(tmp_path, suffix):
    (tmp_path / "file").write_text("x")
    (tmp_path / f"folder{suffix}").mkdir()
    refused_save(network(), tmp_path / "file" / f"m{suffix}", "cannot be written")
    refused_save(network(), tmp_path / "file" / "deeper" / f"m{suffix}", "cannot be written")
    refused_save(network(), tmp_path / f"folder{suffix}", "cannot be written")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", f"folder{suffix}"]


@pytest.mark.parametrize("name", ["m", "m.onnx", "m.pt.bak", ".pt"])
def test_another_suffix_is_refused(tmp_path, name):
    refused_save(network(), tmp_path / name, "expected a name that ends in")
    assert not list(tmp_path.iterdir())


@both
@pytest.mark.parametrize("entry", [{"x": object()}, {"x": torch.ones(1)}, {("a", "b"): 1}])
def test_a_history_that_is_not_plain_is_refused(tmp_path, suffix, entry):
    refused_save(network().with_history(entry), tmp_path / f"m{suffix}", "history")
    assert not list(tmp_path.iterdir())


@both
def test_saving_again_replaces_the_file(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_text("old")
    save(network(), path)
    changed = network().with_history({"step": "again"})
    save(changed, path)
    assert load(path).history == changed.history
    assert names(tmp_path) == [path.name]


@both
@pytest.mark.parametrize(
    "error", [OSError("disk full"), RuntimeError("bad\nlines"), KeyboardInterrupt()]
)
def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing(
    tmp_path, suffix, monkeypatch, error
):
    path = tmp_path / f"m{suffix}"
    save(network(), path)
    before = path.read_bytes()

    def fail(*arguments, **_):
        target = next(a for a in arguments if hasattr(a, "write_bytes"))
        target.write_bytes(b"half")
        raise error

    monkeypatch.setattr(files.torch, "save", fail)
    monkeypatch.setattr(files, "save_file", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else InputError
    with pytest.raises(expected):
        save(network().with_history({"step": "new"}), path)
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    save(network(), tmp_path / "m.pt")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "m.pt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_origin_may_change_without_changing_the_hash(tmp_path):
    net = network()
    other = replace(equilibrium_of(net), origin=None)
    plain = Network([net.blocks[0], other, *net.blocks[2:]])
    save(plain, tmp_path / "m.pt")
    assert equilibrium_of(load(tmp_path / "m.pt")).origin is None
    assert load(tmp_path / "m.pt").sha256() == net.sha256()
