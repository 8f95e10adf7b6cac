"""Maps the folder `cli/` to the import package `certlip_cli`, and writes down which commit is built;
everything else is in pyproject.toml."""

import subprocess
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

BUILD = "certlip/_build.py"


def _write_commit(folder: str) -> None:
    """Leaves COMMIT in what is built from a repository; an sdist brings along that of its own."""
    here = Path(__file__).resolve().parent
    if not (here / ".git").exists():
        return
    line = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        commit = subprocess.run(line, cwd=here, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    path = Path(folder, BUILD)
    path.unlink(missing_ok=True)  # an sdist may link to the sources
    path.write_text(f'COMMIT = "{commit.strip()}"\n', encoding="utf-8")


class BuildWithCommit(build_py):
    """Into the wheel, never into the sources."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            _write_commit(self.build_lib)


class SdistWithCommit(sdist):
    """Into the archive."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        _write_commit(base_dir)


setup(
    packages=[*find_packages(include=["certlip", "certlip.*"]), "certlip_cli"],
    package_dir={"certlip_cli": "cli"},
    cmdclass={"build_py": BuildWithCommit, "sdist": SdistWithCommit},
)
