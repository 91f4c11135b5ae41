"""What all packages share: models, errors, redaction, strict JSON, the log.

It imports no other package. A new error code is a class in `errors.py` (what an invocation meets: in
`invocation_errors.py`). What several packages hand each other is a dataclass in the module of its subject.
"""
