"""The operating system: processes and their trees, signals, pidfds, the wake-up pipe, the timer, the daemon's lock.

It imports `core`, and knows no job and no database. A new system call or file of /proc goes here, one subject a file,
with a portable alternative where there is one.
"""
