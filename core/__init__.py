"""What all packages share: models, errors, redaction, strict JSON, the log.

It imports no other package. A new error code is a class in `errors.py`, or in `invocation_errors.py` if an attempt
fails with it. A value that several packages pass on is a dataclass in the module of its subject; a JSON object that
several packages pass on is a TypedDict in `json_objects.py`.
"""
