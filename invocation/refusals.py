"""Which kind of failure an agent's message tells of: of a quota, an overload, a login, or the request itself."""

from __future__ import annotations

import re

from core.invocation_errors import (
    AgentFailed,
    AgentOutputTruncated,
    AgentOverloaded,
    AgentQuota,
    AgentRefused,
    AgentRequestInvalid,
)

#: The kind of a failure is decided by so many characters of its message.
_JUDGED = 4_000
#: A message without a line end that is not longer is hardly the answer of a model.
_LONGEST_SENTENCE = 300

_BEEN = "(?:is |was |has |have |had |been |could |can |already |not |be )*"
#: What is used up until it is renewed, or paid for. A rate limit is none: that is over in a minute.
_QUOTA = re.compile(
    r"(?:hit|reached|exceeded|exhausted) (?:your|the) (?:[\w'-]+ ){0,3}?(?<!rate )(?<!token )(?<!turn )(?<!context )"
    r"(?:limit|quota|capacity|credits)"
    r"|(?:usage|session|hour|daily|weekly|monthly|opus|sonnet|haiku|plan|message|spend(?:ing)?) (?:limit|cap) "
    rf"{_BEEN}(?:reached|exceeded|hit)"
    r"|usage[ _]limit|usage_not_included|out of (?:extra )?usage|out of (?:[\w'-]+ )?credits"
    r"|no credits (?:left|remaining)|credit balance|insufficient[ _](?:quota|credits?|funds|balance)|not enough credits"
    r"|exceeded your current quota"
    rf"|(?<!disk )quota {_BEEN}(?:exceeded|exhausted|reached|used up)|exceeded [\w ]{{0,20}}quota"
    r"|quota will (?:be )?reset"
    r"|terminalquotaerror|daily quota|quota_?exceeded|billing (?:hard )?limit|billing_not_active|payment required"
    r"|spending cap|purchase more credits"
)
#: What providers say if they are overloaded, or get too many requests.
_OVERLOADED = re.compile(
    r"overloaded|high demand|at capacity|rate[ _-]?limit|too many requests|resource[_ ](?:has been )?exhausted"
    r"|service unavailable|temporarily unavailable"
)
_LOGIN = r"(?:oauth|access|refresh|bearer|auth(?:entication)?|login|session|id)"
_REFUSED = re.compile(
    # keys
    r"(?:invalid|incorrect|expired|missing|revoked|disabled|malformed|no) (?:x-)?(?:\w+ )?api[ _-]?key|api_key_invalid"
    rf"|api[ _-]?key (?:\S+ )?{_BEEN}(?:valid|found|set|invalid|incorrect|expired|missing|required|revoked|disabled)"
    r"|specify the \w*_api_key"
    # tokens and sessions
    rf"|\b(?:invalid|expired|revoked|missing|no) (?:\w+ )?{_LOGIN} (?:\w+ )?(?:token|credentials?|session)"
    rf"|\b{_LOGIN}[ _](?:\w+ )?(?:token|session|credentials?) {_BEEN}"
    r"(?:expired|revoked|invalid|invalidated|used|refreshed|found|malformed)"
    rf"|\b(?:oauth|login|session) {_BEEN}(?:expired|revoked|invalidated)"
    r"|refresh[ _]token (?:\w+ ){0,2}(?:expired|revoked|reused|used|invalid)|refresh_token_\w+"
    r"|token_(?:expired|revoked)|security token (?:\w+ ){0,6}(?:expired|invalid)|invalid_grant|invalid_client"
    r"|credentials (?:\w+ )?(?:are |is |were )?(?:not|invalid|expired|missing)"
    r"|(?:no|find|load|missing|invalid|expired) (?:\w+ )*credentials"
    # logging in
    r"|(?:failed|unable|could not|couldn't|cannot|can't) (?:to )?"
    r"(?:refresh (?:\w+ )?token|authenticate|log ?in|sign in|resolve auth)"
    r"|authentication|not authenticated|unauthenticated|unauthori[sz]ed|auth method|authorization (?:is )?required"
    r"|not (?:currently )?(?:logged|signed) in|logged out|(?:please|must|need to) (?:\w+ )?(?:log|sign) ?(?:in|out)\b"
    r"|(?:log|sign)(?:ging|ning)? ?in again|re-?authenticate|login required|consent could not be obtained"
    r"|run [`'\"]?(?:/login|(?:codex|claude|gemini) (?:auth )?login)"
    # permission
    r"|permission_(?:error|denied)|oauth_org_not_allowed|not allowed for this organi[sz]ation"
    rf"|organi[sz]ation {_BEEN}(?:disabled|allowed)|(?:account|organi[sz]ation) does not have access"
    rf"|account {_BEEN}(?:disabled|suspended|banned|deactivated)"
)
#: What is wrong with the request itself: its length, its model, or the session that it continues.
_REJECTED = re.compile(
    r"(?:prompt|input|request|conversation) (?:is |was )?(?:too (?:long|large)|exceeds)"
    r"|(?:ran out of room in|exceeds?|exceeded|over) the model's context"
    r"|context[ _](?:window|length)(?:[ _]\w+){0,2}[ _]exceeded"
    r"|maximum context length|input token count (?:\(\d+\) )?exceeds|context window is full"
    r"|issue with the selected model|(?:unknown|invalid|unsupported) model"
    r"|model[ _](?:\S+ )?(?:not[ _]found|does not exist)"
    r"|`?tool_use`? ids were found without"
)
_TOO_MUCH_OUTPUT = re.compile(r"exceeded the \d+ output token maximum")
#: Lines of stderr about other programs, or that are no failure.
_OF_OTHERS = re.compile(
    r"\bmcp\b|\b(?:plugin|extension|hook|registry|npm|telemetry|update)s?\b"
    r"|^\W*(?:\S+ )?(?:warn(?:ing)?|info|debug|trace)\b",
    re.IGNORECASE,
)
#: A number alone is not enough: addresses, times and IDs contain such numbers too.
_STATUS = re.compile(r"(?:status|error|code|http|\()[\": ]*([45]\d\d)\b")
#: The provider's own words for when it may be asked again.
_TOLD = re.compile(r"retrydelay|quotareset|quota will reset|resets? (?:at|in|after|on)\b|resets_?(?:at|in)")


def kind_of(message: str, status: int | None, *, is_own: bool) -> type[AgentFailed]:
    """The error for an agent's message, and the HTTP status of its provider if that is known.

    `is_own` says whether the message is certainly the program's and not the answer of a model. If not, only a short
    one that says it outright counts.
    """
    words = message[:_JUDGED].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip()
    if not is_own and (len(words) > _LONGEST_SENTENCE or "\n" in words):
        words = ""
    is_rejected = status in (400, 404, 413, 422) or (is_own and _REJECTED.search(words) is not None)
    if is_own and status is None and (match := _STATUS.search(words)):
        status = int(match[1])
    if status == 402 or _QUOTA.search(words):
        return AgentQuota
    is_overloaded = status in (429, 503, 529) or (is_own and status is None and _OVERLOADED.search(words) is not None)
    if is_overloaded:
        # Google says in one breath that something is exhausted, and when it is there again.
        return AgentQuota if status != 503 and _TOLD.search(words) else AgentOverloaded
    # Google answers a wrong key with 400.
    if status in (401, 403) or (status in (None, 400) and _REFUSED.search(words)):
        return AgentRefused
    if _TOO_MUCH_OUTPUT.search(words):
        return AgentOutputTruncated
    return AgentRequestInvalid if is_rejected else AgentFailed


def own_lines(stderr: str) -> str:
    """What of a stderr may be the agent's own words about its failure: not those of programs that it has started."""
    return "\n".join(line for line in stderr.splitlines() if not _OF_OTHERS.search(line))
