"""What everybody shares: the models, the errors, redaction, strict JSON, crash points. Pure, or nearly: no room is known.

It imports the standard library and nothing of ours but itself. A new error code is a class in `errors.py` (what an
invocation meets: `invocation_errors.py`); a new thing that several packages hand each other goes into the model that it describes.
"""
