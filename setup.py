"""
What is packaged; all the rest is in C{pyproject.toml}.
"""

from setuptools import find_packages, setup

setup(
    # One root, spelled out: then "pip install -e" puts this folder on sys.path,
    # where Twisted looks for plugins.
    package_dir={"": "."},
    packages=[*find_packages(include=["jobroute", "jobroute.*"]), "twisted.plugins"],
    package_data={"jobroute": ["py.typed", "**/*.sql"]},
)
