"""The parts of `executor.py`: the attempts of a claimed run, what is asked, when it is tried again, how it ends.

It knows `core`; the invoker is one callable. A rule about the end of a run goes into `verdicts.py`, one about further
attempts into `retries.py`.
"""
