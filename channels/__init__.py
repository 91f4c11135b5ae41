"""Where news goes: a file for each kind of channel, found in one dictionary and imported on first use.

It knows `core`. A new channel is one file here; `notifier.py` knows it by its name.
"""
