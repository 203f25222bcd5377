"""
The C{jobroute} command.
"""

from jobroute.cli.command import main

__all__ = ["main"]
