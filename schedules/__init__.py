"""From the text of a schedule to instants. Pure: no clock, no database; the only package that imports croniter.

It knows `core`. Everybody asks `language.py`; a new form of schedule or an alias of cron goes there or into `cron.py`.
"""
