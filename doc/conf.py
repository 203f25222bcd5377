"""
How Sphinx builds the documentation: C{make doc}.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import jobroute  # noqa: E402

project = "jobroute"
author = "The jobroute developers"
copyright = "The jobroute developers"
version = release = jobroute.__version__

extensions = ["judged", "limits", "modules"]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"jobroute {release}"
highlight_language = "none"
