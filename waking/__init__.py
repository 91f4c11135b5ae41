"""What the daemon stands on: that there is one, and what wakes it. Knows no job, no run and no database.

A file a part; each is imported where it is used. `doorbell.ring` is for those who wake it, and costs next to nothing.
"""
