"""
The tests of jobroute.  C{python -m twisted.trial tests} runs them all but
those of L{tests.packaging}.
"""
