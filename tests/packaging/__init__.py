"""
What users install.  These tests make virtual environments and fetch what
jobroute needs, so C{trial tests} leaves them out: run C{make test-packaging}.
"""
