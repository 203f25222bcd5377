"""
The directive C{settings}: a table of the settings in an attrs class of
L{jobroute.config}, so that the page cannot say anything else than the code.
"""

from __future__ import annotations

from typing import Any

import attrs
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from jobroute import config


def shown(value: object) -> str:
    """
    A default, as it is written in a configuration file.
    """
    if isinstance(value, bool):
        return f"``{str(value).lower()}``"
    if isinstance(value, int) and value and value % config.MIB == 0:
        return f"{value:,} ({value // config.MIB} MiB)"
    if isinstance(value, float):
        return f"{value:,g}" if value < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else f"``{value}``"


def rows(settings: type[Any]) -> list[tuple[str, str, str]]:
    """
    Name, default and meaning of each setting that says what it means.
    """
    return [
        (f"``{a.name}``", shown(a.default), a.metadata["help"])
        for a in attrs.fields(settings)
        if "help" in a.metadata
    ]


def table(settings: type[Any]) -> list[str]:
    """
    The lines of a table of the settings.
    """
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 25 25 50", ""]
    for cells in [("name", "default", "meaning"), *rows(settings)]:
        for i, cell in enumerate(cells):
            lines.append(f"   {'*' if i == 0 else ' '} - {cell}")
    return [*lines, ""]


class SettingsTable(SphinxDirective):
    """
    C{.. settings:: Limits}
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """
        Make the table.
        """
        self.env.note_dependency(config.__file__)
        lines = table(getattr(config, self.arguments[0]))
        container = nodes.container()
        self.state.nested_parse(StringList(lines, "jobroute/config.py"), 0, container)
        return list(container.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """
    Tell Sphinx of the directive.
    """
    app.add_directive("settings", SettingsTable)
    return {"parallel_read_safe": True}
