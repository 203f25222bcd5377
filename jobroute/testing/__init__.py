"""
For testing what is built on jobroute, and jobroute itself.
"""
