"""Checks all that a job needs to start, and says how to fix what is wrong.

It knows `app` and everything below it; nobody imports it but `commands`. A file for each subject: a new check goes into
the file of its subject and into the list `CHECKS` of `checks.py`.
"""
