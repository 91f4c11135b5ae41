"""Looks at everything that a job needs to be started, and says what is wrong and how it is cured.

A file for each subject; `checks.CHECKS` is the one list.
"""
