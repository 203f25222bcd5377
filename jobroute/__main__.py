"""
C{python -m jobroute} is the C{jobroute} command.
"""

from jobroute.cli import main

if __name__ == "__main__":
    main()
