"""The parts of schedules.py, which is their only door."""

from __future__ import annotations
