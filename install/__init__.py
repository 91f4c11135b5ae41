"""How the scheduler gets started: lines of crontabs and systemd units, as texts, and reading the crontabs of others.

It knows `core`; its callers read and write the files. A new dialect of crontab goes into the file of its subject.
"""
