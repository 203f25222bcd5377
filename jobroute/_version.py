"""
Provides jobroute's version information.
"""

# This file is generated: change it with "python -m incremental.update jobroute".

from incremental import Version

__version__ = Version("jobroute", 26, 11, 0)
__all__ = ["__version__"]
