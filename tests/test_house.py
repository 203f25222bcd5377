# -*- test-case-name: tests.test_house -*-
"""
The rules of the house that import-linter cannot express: who may import what
from outside, and what must not happen on import.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jobroute"

#: No module is longer, so that each keeps to one subject.
LINES = 400

#: But those that only declare may be.
DECLARATIONS = ("jobroute.interfaces", "jobroute.model")

#: The seam: the one room that knows ZeroMQ.
ZEROMQ = "jobroute.zeromq"

#: The rooms that neither do I/O nor ask for the time.
PURE = ("jobroute.broker", "jobroute.wire", "jobroute.protocols")

#: What those may not import.
IMPURE = ("zmq", "txzmq", "sqlite3", "time", "twisted.internet.reactor")


@frozen
class Import:
    """
    One import of one name.

    @ivar module: the module that imports.
    @ivar name: what it imports, with all dots.
    @ivar top: whether that happens when the module itself is imported.
    @ivar typing: whether only a type checker sees it.
    """

    module: str
    name: str
    top: bool
    typing: bool = False

    def is_of(self, *names: str) -> bool:
        """
        Whether one of these, or something in it, is imported.
        """
        return _within(self.name, *names)


def _within(module: str, *packages: str) -> bool:
    """
    Whether a module is one of these packages or in one.
    """
    return any(module == p or module.startswith(p + ".") for p in packages)


def module_name(path: Path) -> str:
    """
    The dotted name of a source file.
    """
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    """
    All modules of jobroute.
    """
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_in(module: str, source: str) -> Iterator[Import]:
    """
    Every import in the source of a module, wherever it stands.
    """

    def visit(node: ast.AST, top: bool, typing: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, top, typing)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(module, f"{node.module}.{alias.name}", top, typing)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for unseen in node.body:
                yield from visit(unseen, False, True)
            for seen in node.orelse:
                yield from visit(seen, top, typing)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, top and not inside, typing)

    return visit(ast.parse(source), True, False)


def room(module: str) -> str:
    """
    The room that a module is in.
    """
    return ".".join(module.split(".")[:2])


def all_imports() -> list[Import]:
    """
    Every import in jobroute.
    """
    return [
        found
        for module, path in sources().items()
        for found in imports_in(module, path.read_text(encoding="utf-8"))
    ]


def loaded_by(modules: list[str], wanted: tuple[str, ...]) -> list[str]:
    """
    Import modules in a new process.

    @return: which of the wanted modules are loaded afterwards.
    """
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {wanted!r} if name in sys.modules])\n"
    )
    # Measuring a process loads modules of its own into it.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.split()


class ImportsInTests(SynchronousTestCase):
    """
    L{imports_in} sees what the other tests rely on.
    """

    def names(self, source: str) -> list[tuple[str, bool]]:
        """
        What a source imports, and whether on import.
        """
        return [(found.name, found.top) for found in imports_in("m", source)]

    def test_forms(self) -> None:
        """
        All forms of import are seen.
        """
        source = "import zmq\nimport zmq.auth as a\nfrom twisted.internet import reactor, defer\n"
        self.assertEqual(
            self.names(source),
            [
                ("zmq", True),
                ("zmq.auth", True),
                ("twisted.internet.reactor", True),
                ("twisted.internet.defer", True),
            ],
        )

    def test_depth(self) -> None:
        """
        An import in a function does not happen on import; one in a class,
        or under a condition, does.
        """
        source = (
            "def f():\n  import a\nclass C:\n  import b\n  def m(self):\n    import c\n"
            "if 1:\n  import d\nelse:\n  import e\n"
        )
        self.assertEqual(
            self.names(source),
            [("a", False), ("b", True), ("c", False), ("d", True), ("e", True)],
        )

    def test_type_checking(self) -> None:
        """
        What only a type checker sees does not happen on import.
        """
        source = "if TYPE_CHECKING:\n  import a\nelse:\n  import b\n"
        self.assertEqual(
            list(imports_in("m", source)),
            [Import("m", "a", False, True), Import("m", "b", True, False)],
        )


class HouseTests(SynchronousTestCase):
    """
    The contracts.
    """

    def test_nothing_is_missed(self) -> None:
        """
        The modules that the other tests look at are those of the package.
        """
        self.assertIn("jobroute", sources())
        self.assertIn("jobroute.interfaces", sources())
        self.assertTrue(all_imports())

    def test_packages(self) -> None:
        """
        Each folder with modules is a package, so that it is installed.
        """
        folders = {path.parent for path in sources().values()}
        self.assertEqual([str(f) for f in folders if not (f / "__init__.py").exists()], [])

    def test_plugins_are_no_package(self) -> None:
        """
        C{twisted/} and C{twisted/plugins/} have no C{__init__.py}: it would
        overwrite Twisted's own.
        """
        found = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "twisted").rglob("*.py"))
        self.assertEqual(found, ["twisted/plugins/jobroute_plugin.py"])

    def test_plugin_imports(self) -> None:
        """
        The plugin imports nothing but C{ServiceMaker}: it is imported by
        every twistd, whatever that is going to run.
        """
        path = ROOT / "twisted" / "plugins" / "jobroute_plugin.py"
        names = [i.name for i in imports_in("plugin", path.read_text(encoding="utf-8"))]
        self.assertEqual(names, ["twisted.application.service.ServiceMaker"])

    def test_only_the_seam_knows_zeromq(self) -> None:
        """
        Nobody but L{jobroute.zeromq} imports zmq or txzmq.
        """
        strangers = [
            i for i in all_imports() if i.is_of("zmq", "txzmq") and not _within(i.module, ZEROMQ)
        ]
        self.assertEqual(strangers, [])

    def test_pure_rooms(self) -> None:
        """
        The broker, the wires and the protocols import nothing that does I/O
        or knows the time.
        """
        found = [i for i in all_imports() if _within(i.module, *PURE) and i.is_of(*IMPURE)]
        self.assertEqual(found, [])

    def test_pure_rooms_by_others(self) -> None:
        """
        Nor does anything that they import do it for them.
        """
        modules = [name for name in sources() if _within(name, *PURE)]
        wanted = ("zmq", "txzmq", "sqlite3", "twisted.internet.reactor")
        self.assertEqual(loaded_by(modules, wanted), [])

    def test_no_reactor_at_module_level(self) -> None:
        """
        No module imports the reactor when it is imported itself.
        """
        found = [i for i in all_imports() if i.top and i.is_of("twisted.internet.reactor")]
        self.assertEqual(found, [])

    def test_import_installs_no_reactor(self) -> None:
        """
        An embedder may import all of jobroute before it chooses its reactor.
        Importing txzmq installs one, so this holds for all modules but those
        of the seam that stand on txzmq.
        """
        inside = [i for i in all_imports() if i.top and _within(i.module, ZEROMQ)]
        seam, before = {"txzmq"}, set[str]()
        while seam != before:
            before = set(seam)
            seam |= {i.module for i in inside if i.is_of(*before)}
        self.assertNotIn(ZEROMQ, seam)
        modules = [name for name in sources() if name not in seam]
        self.assertEqual(loaded_by(modules, ("twisted.internet.reactor",)), [])

    def test_loaded_by_sees_a_reactor(self) -> None:
        """
        The test above would notice one.
        """
        wanted = ("twisted.internet.reactor", "sqlite3")
        self.assertEqual(loaded_by(["twisted.internet.reactor"], wanted), [wanted[0]])

    def test_no_import_of_ours_in_a_function(self) -> None:
        """
        No import cycle is hidden in a function.
        """
        found = [i for i in all_imports() if not (i.top or i.typing) and i.is_of("jobroute")]
        self.assertEqual(found, [])

    def test_types_of_one_room(self) -> None:
        """
        What only a type checker sees is in the same room: the floors hold
        for types as well.
        """
        found = [
            i
            for i in all_imports()
            if i.typing and i.is_of("jobroute") and not _within(i.name, room(i.module))
        ]
        self.assertEqual(found, [])

    def test_no_private_name_of_another_room(self) -> None:
        """
        What begins with an underscore is used by nobody else.
        """
        found = [
            i
            for i in all_imports()
            if i.is_of("jobroute")
            and i.name.rpartition(".")[2].startswith("_")
            and i.module != "jobroute"
            and i.name != "jobroute.__version__"
        ]
        self.assertEqual(found, [])

    def test_length(self) -> None:
        """
        No module is longer than one subject needs.
        """
        lengths = {
            name: len(path.read_text(encoding="utf-8").splitlines())
            for name, path in sources().items()
            if name not in DECLARATIONS
        }
        self.assertEqual({n: length for n, length in lengths.items() if length > LINES}, {})

    def test_named_tests(self) -> None:
        """
        The tests that the first line of a module names are there.
        """
        missing = []
        for path in PACKAGE.rglob("*.py"):
            first = path.read_text().partition("\n")[0]
            _, named, tests = first.partition("test-case-name: ")
            place = ROOT / tests.removesuffix(" -*-").replace(".", "/")
            if named and not (place.is_dir() or place.with_suffix(".py").is_file()):
                missing.append((path.name, tests))
        self.assertEqual(missing, [])
