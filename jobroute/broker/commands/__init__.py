"""
The commands, a module a subject, and the registry that they are in.

Each command is given the narrow interfaces that it needs, never the broker.
"""
