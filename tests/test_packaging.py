"""What is built and shipped, and the files that say so."""

from __future__ import annotations

import configparser
import importlib
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from aichatkit._version import __version__

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aichatkit"
OLDEST = ROOT / ".ci" / "oldest.txt"
SHIPPED = ("setup.cfg", "setup.py", "README.md", "LICENSE", "CHANGELOG.md", "aichatkit", "docs", "tests")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*")


@pytest.fixture(scope="module")
def config():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Copy what a build reads, so that building leaves nothing behind."""
    copy = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=NOT_SHIPPED)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    return copy


def run_setup(folder, *arguments):
    subprocess.run([sys.executable, "setup.py", "-q", *arguments], cwd=folder, check=True, timeout=120)


def files_under(folder, base):
    return {str(path.relative_to(base)) for path in folder.rglob("*") if path.is_file()}


def test_setup_cfg_and_the_package_agree_on_the_version(config):
    assert config["metadata"]["version"] == __version__


def test_the_top_level_holds_what_it_shall_and_nothing_else():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    top = {name.partition("/")[0] for name in listed.split("\0") if name and not name.startswith(".")}
    assert top == set(SHIPPED)


def test_two_packages_are_enough_to_run(config):
    needed = config["options"]["install_requires"].split()
    assert [re.split(r"[<>=]", line)[0] for line in needed] == ["requests", "tenacity"]


@pytest.mark.skipif(not OLDEST.exists(), reason="the oldest versions are a matter of the repository")
def test_the_oldest_versions_tested_are_the_oldest_allowed(config):
    floors = {re.sub(">=", "==", line) for line in config["options"]["install_requires"].split()}
    pins = {re.sub(r"(\.0)+$", "", line) for line in OLDEST.read_text().split()}
    assert floors <= pins


def test_every_classified_python_is_at_least_the_floor(config):
    versions = re.findall(r":: 3\.(\d+)$", config["metadata"]["classifiers"], re.MULTILINE)
    assert config["options"]["python_requires"] == f">=3.{min(map(int, versions))}"


def test_the_command_is_there(config):
    module, _, function = config["options.entry_points"]["console_scripts"].partition(" = ")[2].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", ["MANIFEST.in", "pyproject.toml", "pytest.ini", ".pytest.ini", "tox.ini", "mypy.ini"])
def test_no_file_overrules_setup_cfg(name):
    assert not (ROOT / name).exists()


def test_the_changelog_starts_with_what_is_unreleased():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"


@pytest.mark.slow
def test_every_file_of_the_package_is_installed(source, tmp_path):
    run_setup(source, "build", "--build-base", str(tmp_path / "base"), "--build-lib", str(tmp_path / "lib"))
    assert files_under(tmp_path / "lib", tmp_path / "lib") == files_under(source / "aichatkit", source)


def test_type_checkers_are_told_that_the_package_is_typed():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.slow
def test_the_sdist_holds_every_test_every_page_and_the_changelog(source, tmp_path):
    run_setup(source, "sdist", "--formats", "gztar", "--dist-dir", str(tmp_path))
    with tarfile.open(tmp_path / f"aichatkit-{__version__}.tar.gz") as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    shipped = files_under(source / "tests", source) | files_under(source / "docs", source)
    assert shipped | {"CHANGELOG.md", "LICENSE", "README.md"} <= held
