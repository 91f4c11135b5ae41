"""Turns the text of a schedule into instants. Pure: no clock, no database. The only package that imports croniter.

It imports `core`. Other packages call `language.py` or `calendar.py`. A new alias or form of schedule goes into
`language.py`.
"""
