"""Crontab lines and systemd units, as texts.

It may import `core`; its callers read and write the files. A new dialect of crontab goes into the file of its subject,
a new line of a unit into `units.py`.
"""
