"""The parts of `executor.py`: attempts, requests, retries, verdicts.

It may import `core`; the invoker is one callable. A new rule about the end of a run goes into `verdicts.py`, one about
retries into `retries.py`, one about the calls of an attempt into `attempt.py`.
"""
