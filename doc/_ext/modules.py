"""
The directive C{module-source}: the public classes and functions of a module with
their docstrings, read from its source, so that interfaces, attrs classes and
exceptions are shown alike and with the types that they declare.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: What epytext calls a field, and what Sphinx does.
FIELDS = {
    "param": "param",
    "return": "returns",
    "raise": "raises",
    "ivar": "ivar",
    "since": "since",
}


def converted(docstring: str) -> list[str]:
    """
    The lines of a docstring, as reStructuredText.
    """
    text = inspect.cleandoc(docstring)
    text = re.sub(r"L\{~?([\w.]+)\}", r":py:obj:`\1`", text)
    text = re.sub(r"C\{([^{}]*)\}", r"``\1``", text)
    text = re.sub(r"I\{([^{}]*)\}", r"*\1*", text)
    lines: list[str] = []
    for line in text.splitlines():
        found = re.match(r"@(\w+)(\s+[\w.]+)?:(.*)", line)
        if found and found[1] in FIELDS:
            if lines and not lines[-1].startswith((":", "    ")) and lines[-1]:
                lines.append("")
            lines.append(f":{FIELDS[found[1]]}{found[2] or ''}:{found[3]}")
        else:
            lines.append(line)
    return [*lines, ""]


def indented(lines: list[str]) -> list[str]:
    """
    These lines, one level deeper.
    """
    return [f"   {line}" if line else "" for line in lines]


def entry(kind: str, signature: str, body: list[str]) -> list[str]:
    """
    The lines of one description.
    """
    return [f".. py:{kind}:: {signature}", "", *indented(body), ""]


def function(node: ast.FunctionDef | ast.AsyncFunctionDef, kind: str) -> list[str]:
    """
    Describe a function or a method.
    """
    names = [ast.unparse(d) for d in node.decorator_list]
    arguments = ast.unparse(node.args)
    if kind == "method":
        arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    if "property" in names:
        kind, signature = "property", node.name
    else:
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        signature = f"{node.name}({arguments}){result}"
    return entry(kind, signature, converted(ast.get_docstring(node) or ""))


def attribute(node: ast.AnnAssign) -> str:
    """
    A field of a class, as its constructor shows it.
    """
    default = ""
    if isinstance(node.value, ast.Constant | ast.Name | ast.UnaryOp | ast.Attribute | ast.Tuple):
        default = f" = {ast.unparse(node.value)}"
    elif node.value is not None:
        default = " = …"
    return f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{default}"


def members(node: ast.ClassDef) -> Iterator[list[str]]:
    """
    Describe what is in a class.
    """
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            if not item.name.startswith("_"):
                yield function(item, "method")
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            name = item.targets[0].id
            if isinstance(item.value, ast.Call) and item.value.args:
                # An Attribute of an interface says what it is.
                yield entry("attribute", name, converted(ast.literal_eval(item.value.args[0])))
            elif isinstance(item.value, ast.Constant):
                yield entry("attribute", f"{name} = {item.value.value!r}", [])


def described(node: ast.ClassDef) -> list[str]:
    """
    Describe a class.
    """
    fields = [
        attribute(item)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation)
    ]
    bases = ", ".join(ast.unparse(b) for b in node.bases)
    interface = bases == "Interface"
    signature = node.name
    if fields and not interface:
        signature += "(" + ", ".join(fields) + ")"
    body = converted(ast.get_docstring(node) or "")
    if bases and not interface:
        body = [f"Bases: ``{bases}``", "", *body]
    for member in members(node):
        body += ["", *member]
    return entry("class", signature, body)


def module(source: str) -> list[str]:
    """
    Describe a module.
    """
    tree = ast.parse(source)
    lines = converted(ast.get_docstring(tree) or "")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lines += ["", *described(node)]
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            lines += ["", *function(node, "function")]
    return lines


class Module(SphinxDirective):
    """
    C{.. module-source:: jobroute.interfaces}
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """
        Make the descriptions.
        """
        name = self.arguments[0]
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise self.error(f"There is no module {name}.")
        self.env.note_dependency(spec.origin)
        lines = [f".. py:module:: {name}", ""]
        lines += module(Path(spec.origin).read_text(encoding="utf-8"))
        container = nodes.container()
        self.state.nested_parse(StringList(lines, spec.origin), 0, container)
        return list(container.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """
    Tell Sphinx of the directive.
    """
    app.add_directive("module-source", Module)
    return {"parallel_read_safe": True}
