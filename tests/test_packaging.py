"""Wheel and sdist: built, installed into an empty environment and run there; what the image is made of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "certlip", "cli")
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
SITE = sysconfig.get_paths()["purelib"]


def run(*line, cwd, **environment):
    done = subprocess.run(
        [str(part) for part in line],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def packaged(names):
    """Files of the two packages, but for the line about the commit."""
    kept = {name for name in names if name.startswith(("certlip/", "certlip_cli/"))}
    return {name for name in kept if not name.endswith("/")} - {"certlip/_build.py"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A repository with one commit, and its `dist`."""
    folder = tmp_path_factory.mktemp("built")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    run("git", "init", "-q", cwd=folder)
    run("git", "add", *SOURCES, cwd=folder)
    run("git", *who, "commit", "-q", "-m", "all", cwd=folder)
    run(sys.executable, "-c", BUILD, cwd=folder)
    return folder


@pytest.mark.slow
def test_wheel_and_sdist_hold_the_same_package(built, tmp_path):
    commit = run("git", "rev-parse", "--short=12", "HEAD", cwd=built).strip()
    [wheel], [sdist] = built.glob("dist/*.whl"), built.glob("dist/*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = packaged(archive.namelist())
        assert archive.read("certlip/_build.py").decode() == f'COMMIT = "{commit}"\n'
    sources = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in (("certlip", "certlip"), ("cli", "certlip_cli"))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == sources
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    run(sys.executable, "-c", BUILD, cwd=unpacked)
    with zipfile.ZipFile(next(unpacked.glob("dist/*.whl"))) as archive:
        assert packaged(archive.namelist()) == names
        assert commit in archive.read("certlip/_build.py").decode()
    assert not (built / "certlip" / "_build.py").exists()  # the sources stay as they were


@pytest.mark.slow
def test_the_wheel_runs_in_an_environment_of_its_own(built, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    [wheel] = built.glob("dist/*.whl")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--disable-pip-version-check", wheel, cwd=tmp_path)
    # without anything else it imports and says what it is
    code = "import certlip; print(certlip.__file__)"
    assert str(tmp_path) in run(python, "-c", code, cwd=tmp_path)
    # with the packages of this environment all of it runs
    commit = run("git", "rev-parse", "--short=12", "HEAD", cwd=built).strip()
    certlip = tmp_path / "venv" / "bin" / "certlip"
    line = run(certlip, "--version", cwd=tmp_path, PYTHONPATH=SITE)
    assert line.startswith("certlip 0")
    assert f"(commit {commit}, Python " in line
    assert "digits" in run(certlip, "train", "--list", "--json", cwd=tmp_path, PYTHONPATH=SITE)
    assert "verify" in run(python, "-m", "certlip_cli", "--help", cwd=tmp_path, PYTHONPATH=SITE)


def test_version_in_a_line(certlip):
    result = certlip("--version")
    assert result.code == 0
    assert re.fullmatch(
        r"certlip \S+ \(commit .+, Python \S+, torch \S+, numpy \S+\)\n", result.out
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell):
    variables = {"_CERTLIP_COMPLETE": f"source_{shell}"}
    script = run(sys.executable, "-m", "certlip_cli", cwd=ROOT, **variables)
    assert "_CERTLIP_COMPLETE" in script
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # whichever shell runs the tests
    words = ("-m", "certlip_cli", "--show-completion", shell)
    assert "certlip" in run(sys.executable, *words, cwd=ROOT, **named)


@pytest.mark.parametrize(
    ("words", "found"), [("certlip certi", "certify"), ("certlip certify --fail", "--fail-under")]
)
def test_words_are_completed(words, found, tmp_path):
    (tmp_path / "certlip.toml").write_text("broken")  # is nothing to tell somebody who types
    count = str(len(words.split()) - 1)
    line = {"_CERTLIP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
    assert found in run(sys.executable, "-m", "certlip_cli", cwd=tmp_path, **line).split()


def test_the_image_is_made_of_files_and_extras_that_exist():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for name in sources.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in kept
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [extras] = re.findall(r"certlip\[([a-z,]+)\]", text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    versions = re.findall(r"^FROM python:3\.(\d+)-slim", text, re.M)
    assert {"Programming Language :: Python :: 3." + v for v in versions} <= set(
        project["classifiers"]
    )
