"""What is deleted, and when: rows, run folders and event files that are older or more than is kept.

It knows `core` and `store`. A new rule of retention goes into `retention.py`.
"""
