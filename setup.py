"""Maps the folder `cli/` to the import package `certlip_cli`; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["certlip", "certlip.*"]), "certlip_cli"],
    package_dir={"certlip_cli": "cli"},
)
