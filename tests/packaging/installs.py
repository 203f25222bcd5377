# -*- test-case-name: tests.packaging.installs -*-
"""
Wheel, sdist and editable install, each in a new virtual environment.

This module has no name of a test module, so that C{trial tests} does not find
it.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

import jobroute

ROOT = Path(__file__).resolve().parent.parent.parent

#: What of the checkout is not copied.
LEFT_OUT = (".*", "_trial_temp*", "_build", "build", "dist", "*.egg-info", "__pycache__")

PLUGIN = "twisted/plugins/jobroute_plugin.py"


def run(*command: str | Path, cwd: Path) -> str:
    """
    Run a command.

    @return: what it printed.
    @raise AssertionError: if it failed; says what it printed.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join(str(word) for word in command)
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class Built(SynchronousTestCase):
    """
    A copy of the checkout, and an sdist and a wheel made from it.  They are
    made once for the module.
    """

    folder: ClassVar[Path | None] = None

    @classmethod
    def built(cls) -> Path:
        """
        The folder with the copy, C{checkout}, and with C{dist}.
        """
        if Built.folder is None:
            Built.folder = Path(tempfile.mkdtemp(prefix="jobroute-"))
            atexit.register(shutil.rmtree, Built.folder)
            checkout = Built.folder / "checkout"
            shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*LEFT_OUT))
            # The wheel is made from the sdist.
            run(sys.executable, "-m", "build", "--outdir", "../dist", cwd=checkout)
        return Built.folder

    def only(self, pattern: str) -> Path:
        """
        The one file in C{dist} that matches.
        """
        (path,) = (self.built() / "dist").glob(pattern)
        return path


class ContentTests(Built):
    """
    What is in the files.
    """

    def modules(self) -> set[str]:
        """
        The source files of jobroute, as paths.
        """
        found = {p.relative_to(ROOT).as_posix() for p in (ROOT / "jobroute").rglob("*.py")}
        return found | {"jobroute/py.typed", PLUGIN}

    def test_wheel(self) -> None:
        """
        The wheel holds jobroute and the plugin and nothing else.
        """
        path = self.only("*.whl")
        self.assertEqual(path.name, f"jobroute-{jobroute.__version__}-py3-none-any.whl")
        with zipfile.ZipFile(path) as wheel:
            names = set(wheel.namelist())
        names = {name for name in names if ".dist-info/" not in name}
        code = {name for name in names if name.endswith((".py", ".typed"))}
        self.assertEqual(code, self.modules())
        # What is no code belongs to jobroute, not to Twisted.
        self.assertEqual([n for n in names - code if not n.startswith("jobroute/")], [])

    def test_migrations(self) -> None:
        """
        What jobroute reads at run time is in the wheel as well.
        """
        data = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "jobroute").rglob("*")
            if path.suffix in (".sql", ".toml", ".json", ".html", ".css")
        }
        with zipfile.ZipFile(self.only("*.whl")) as wheel:
            self.assertEqual(data - set(wheel.namelist()), set())

    def test_sdist(self) -> None:
        """
        The sdist holds what is needed to build, test and document as well.
        """
        with tarfile.open(self.only("*.tar.gz")) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}
        needed = {
            "LICENSE",
            "README.rst",
            "doc/conf.py",
            "doc/protocol.rst",
            "pyproject.toml",
            "setup.py",
            "tests/__init__.py",
            "tests/test_house.py",
        }
        self.assertEqual((needed | self.modules()) - names, set())
        self.assertEqual(names & {"twisted/__init__.py", "twisted/plugins/__init__.py"}, set())
        self.assertEqual([n for n in names if n.endswith((".pyc", "dropin.cache"))], [])


class InstallTests(Built):
    """
    What is installed works.
    """

    def install(self, *what: str | Path) -> Path:
        """
        Install something into a new virtual environment.

        @return: the folder of its commands.
        """
        folder = Path(tempfile.mkdtemp(dir=self.built()))
        run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        commands = folder / "bin"
        pip = (sys.executable, "-m", "pip", "--python", commands / "python")
        run(*pip, "install", "--quiet", "--no-compile", *what, cwd=folder)
        return commands

    def check(self, commands: Path) -> None:
        """
        All commands are there, from any folder, and Twisted's own files are
        as they were.
        """
        cwd = commands.parent
        for twist in ("twistd", "twist"):
            with_plugin = run(commands / twist, "--help", cwd=cwd)
            self.assertRegex(with_plugin, r"(?m)^\s+jobroute\s+Route jobs from clients to agents")
            said = run(commands / twist, "jobroute", "--version", cwd=cwd)
            self.assertIn(jobroute.__version__, said)
        self.assertIn(jobroute.__version__, run(commands / "jobroute", "--version", cwd=cwd))
        code = "import twisted.plugins, inspect; print(len(inspect.getsource(twisted.plugins)))"
        self.assertGreater(int(run(commands / "python", "-c", code, cwd=cwd)), 0)

    def test_wheel(self) -> None:
        """
        The wheel works.
        """
        self.check(self.install(self.only("*.whl")))

    def test_sdist(self) -> None:
        """
        The sdist works.
        """
        self.check(self.install(self.only("*.tar.gz")))

    def test_editable(self) -> None:
        """
        An editable install works, and uses the checkout.
        """
        checkout = self.built() / "checkout"
        commands = self.install("--editable", checkout)
        self.check(commands)
        where = run(
            commands / "python",
            "-c",
            "import jobroute; print(jobroute.__file__)",
            cwd=commands.parent,
        )
        self.assertEqual(Path(where.strip()), checkout / "jobroute" / "__init__.py")
