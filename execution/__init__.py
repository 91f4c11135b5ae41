"""The parts of `executor.py`: the attempts of a claimed run, their requests, the retries, and the verdict.

It knows `core`; the invoker is one callable. A rule about the end of a run goes into `verdicts.py`, one about retries
into `retries.py`.
"""
