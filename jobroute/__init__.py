# -*- test-case-name: tests -*-
"""
Jobs go from clients to agents over ZeroMQ, and none is forgotten.
"""

from jobroute._version import __version__ as _version

__all__ = ["__version__"]

#: The version of the software, as text.
__version__: str = _version.public()
