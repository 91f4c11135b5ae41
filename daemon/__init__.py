"""The scheduler as one process that stays.

It may import `app` and everything below it; nobody imports it but `commands`. What it repeats is the tick of
`scheduler.py`. New work beside the loop goes into `background.py`, a new question to the program into `program.py`.
"""
