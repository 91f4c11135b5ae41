"""Composition: what is made from the settings, each part when it is asked for. Also the fast idle tick.

It knows everything below it; `commands`, `daemon` and `doctor` use it. A new part of the program is made in `app.py`.
Nothing is imported here: an idle tick passes through.
"""
