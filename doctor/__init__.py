"""Checks all that a job needs to start, and says how to fix what is wrong.

It may import `app` and everything below it; nobody imports it but `commands`. It has a file for each subject: a new
check goes into the file of its subject and into the list `CHECKS` of `checks.py`.
"""
