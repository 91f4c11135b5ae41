"""The operating system: processes and their trees, signals, timers, pipes and locks.

It may import `core`; it knows no job, run or database. A new system call or file of /proc goes here, one subject a
file, with a portable alternative where there is one.
"""
