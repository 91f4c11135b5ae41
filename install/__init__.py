"""Crontab lines and systemd units as texts, and the translation of existing crontab lines into jobs.

It knows `core`; its callers read and write the files. A new dialect of crontab goes into the file of its subject.
"""
