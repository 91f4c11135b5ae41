"""Checks everything that a job needs to start, and says what is wrong and how to fix it.

A file for each subject; a new check goes into the file of its subject and into the list `checks.CHECKS`.
"""
