"""The dead-man's ping: asks an address after each tick, so that somebody notices when ticks stop coming.

A leaf. No proxy and no scheme but http and https beyond what the standard library takes from the environment.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

#: All of it, whatever the name's lookup, the connection, or a slow answer take.
DEADLINE_SEC = 5.0
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.UnknownHandler,
)


def address(url: str, *, failed: bool) -> str:
    """The address to ask: `url`, with `/fail` behind its path when a job failed."""
    if not failed:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def send(url: str, *, deadline_sec: float = DEADLINE_SEC) -> str:
    """Asks the address and waits for its answer, at most `deadline_sec`; "" or why it did not work.

    What it says never holds the address, which may be a secret.
    """
    failures: list[str] = ["no answer in time"]

    def ask() -> None:
        try:
            opener = urllib.request.OpenerDirector()
            for handler in _HANDLERS:
                opener.add_handler(handler())
            request = urllib.request.Request(url, headers={"User-Agent": "puruto-cron"})  # noqa: S310 - only http(s)
            with opener.open(request, timeout=deadline_sec) as answer:
                answer.read(1024)
            failures[0] = ""
        except urllib.error.HTTPError as error:
            failures[0] = f"the answer was {error.code}"
            error.close()
        except urllib.error.URLError as error:
            reason = error.reason
            failures[0] = str(getattr(reason, "strerror", None) or type(reason).__name__)
        except (OSError, ValueError) as error:
            failures[0] = str(getattr(error, "strerror", None) or type(error).__name__)

    # A lookup of a name can't be given a time: the thread is left behind, and ends with the process.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(deadline_sec)
    return failures[0]
