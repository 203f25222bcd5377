"""
The directive C{judged}: what the judge of histories looks at for one of the
promises, so that the page cannot say anything else than the code.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from jobroute.testing import checker


def lines(number: int) -> list[str]:
    """
    The lines of a list of what is judged for a promise.
    """
    found = [promise for promise, of in checker.PROMISES.items() if of == number]
    judged = [f"* {checker.title(promise)} (``{promise.__name__}``)" for promise in found]
    return ["*Judged:*", "", *judged, ""]


class Judged(SphinxDirective):
    """
    C{.. judged:: 1}
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """
        Make the list.
        """
        self.env.note_dependency(checker.__file__)
        container = nodes.container()
        source = StringList(lines(int(self.arguments[0])), "jobroute/testing/checker.py")
        self.state.nested_parse(source, 0, container)
        return list(container.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """
    Tell Sphinx of the directive.
    """
    app.add_directive("judged", Judged)
    return {"parallel_read_safe": True}
