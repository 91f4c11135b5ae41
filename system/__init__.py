"""What the operating system offers: processes, signals, timers, locks.

It may import `core`; it knows no job, run or database. A new system call or file of /proc goes here, a file a subject,
with a portable answer beside it where there is one.
"""
