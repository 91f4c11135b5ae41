"""Composition: makes the parts of the program from the settings. Also the fast idle tick.

It may import everything below it; `commands`, `daemon` and `doctor` use it. A new part of the program is made in
`app.py`, one that needs the database in `session.py`. Nothing is imported here, because an idle tick passes through.
"""
