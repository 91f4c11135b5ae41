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
    r"|(?<!not your )usage[ _]limit|usage_not_included|to use codex with your chatgpt plan"
    r"|out of (?:extra )?usage|out of (?:[\w'-]+ )?credits"
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
    r"|service unavailable|temporarily unavailable|limiting requests|temporary capacity|status: unavailable"
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
    rf"|organi[sz]ation {_BEEN}(?:disabled|allowed)|disabled organi[sz]ation"
    r"|(?:account|organi[sz]ation) does not have access"
    rf"|account {_BEEN}(?:disabled|suspended|banned|deactivated)"
)
#: What is wrong with the request itself: its length, its model, or the session that it continues.
_TOO_LONG = (
    r"(?:prompt|input|request|conversation|image|pdf) (?:is |was )?(?:too (?:long|large)|exceeds)"
    r"|(?:ran out of room in|exceeds?|exceeded|over) the model's context"
    r"|context[ _](?:window|length)(?:[ _]\w+){0,2}[ _]exceeded|exceeds? (?:the )?context (?:limit|window|length)"
    r"|maximum context length|input token count (?:\(\d+\) )?exceeds|context window is full|request_too_large"
)
_WRONG_MODEL = (
    r"issue with the selected model|(?:unknown|invalid|unsupported|unrecognized) model|not a recognized model"
    r"|model[ _](?:\S+ )?(?:not[ _]found|does not exist|(?:is|was) (?:not (?:supported|available|found)|restricted))"
    r"|models/\S+ is not found|model identifier is invalid|is not available with the [\w ]{1,40} plan"
    r"|required for (?:1m|long) context|requested entity was not found"
)
_REJECTED = re.compile(
    rf"{_TOO_LONG}|{_WRONG_MODEL}|invalid_request_error|not_found_error|status: (?:invalid_argument|not_found)"
    r"|`?tool_use`? ids were found without|unexpected `?tool_use_id`?|no tool output found for function call"
    r"|`?thinking`? (?:or `?redacted_thinking`? )?blocks [\w ]{0,60}cannot be modified"
    r"|number of function response parts"
)
_TOO_MUCH_OUTPUT = re.compile(
    r"exceeded the [\d.,]+ output token (?:maximum|limit)|\breason: (?:max_output_tokens|max_tokens|length)\b"
    r"|truncated due to token limits"
)
#: What a model or its provider does not want to do.
_DECLINED = re.compile(
    r"violate our usage policy|\bsafety measures\b|safeguards flagged|\bthe model refused\b|\bcontent[_ ]filter\b"
    r"|stopped due to (?:safety|forbidden|prohibited|recitation)|cyber_policy|prohibited_content",
)
#: What happened to an agent on its own machine, or between it and its tools: its provider has nothing to do with it.
_ELSEWHERE = re.compile(
    r"\bmcp\b|\b(?:disk|storage|file|inode|mailbox) quota|quota exceeded on /|no space left"
    r"|\be(?:dquot|nospc|acces|perm|rofs)\b|\(publickey",
    re.IGNORECASE,
)
#: Lines about other programs, or that tell of no failure. By custom a program begins a line with its name and a colon.
_OF_OTHERS = re.compile(
    r"\b(?:plugin|extension|hook|registry|npm|pnpm|yarn|pypi|telemetry|auto-?updater?|update check)s?\b"
    r"|\b(?:gitlab|docker|ghcr|huggingface|sentry|statsig|slack|atlassian|telegram)\b"
    r"|\bgithub\b(?!\.com/(?:google-gemini|openai|anthropics)/)"
    # An address of another host, unless it is that of a gateway to the provider.
    r"|^(?!.*\b(?:api error|(?:unexpected|last) status)\b).*https?://"
    r"(?!(?:[\w-]+\.)*(?:anthropic|claude|openai|chatgpt|google|googleapis|geminicli|goo|github)\.)"
    r"|^\W*(?:\S+ +)?(?:warn(?:ing)?|info|debug|trace)\b"
    r"|^(?-i:[EW]): "
    r"|^(?!(?:error|claude|codex|gemini|code|status|message|reason|details|type|cause|name|statusText)\b)"
    r"(?-i:[a-z][\w.+-]{0,30})(?:\[\d+\])?: ",
    re.IGNORECASE,
)
#: What names the agent's provider, or how to log in to it.
_OF_PROVIDER = re.compile(
    r"\bapi ?error\b|/login\b|\b(?:codex|claude|gemini) (?:auth )?login\b|credit balance"
    r"|(?<![\w./~-])(?:anthropic|claude|openai|chatgpt|codex|gemini|googleapis|bedrock|vertex)\b"
    r"|\b(?:anthropic|openai|chatgpt|googleapis)\.com\b",
    re.IGNORECASE,
)
#: The line in which a program says of what it died.
_DIED = re.compile(
    r"\b\w*(?:Error|Exception)\b\s*[:(\[]|\bpanicked at\b|segmentation fault|core dumped|out of memory"
    r"|cannot find module|^killed\b|^Traceback\b",
    re.IGNORECASE,
)
#: A number alone is not enough: addresses, times and IDs contain such numbers too.
_STATUS = re.compile(r"(?:status|error|code|http|\()[\": ]*([45]\d\d)\b")
#: So an agent tells the status of its provider.
_STATUS_OF_PROVIDER = re.compile(
    r"(?:api error(?: \([^)\n]{1,200}\))?:|unexpected status|\"(?:status|code)\":) ?([45]\d\d)\b"
)
#: Of the statuses 4xx, those with which the same request may succeed later.
_PASSING = (408, 409, 425, 429, 499)
#: The provider's own words for when it may be asked again.
_TOLD = re.compile(r"retrydelay|quotareset|quota will reset|resets? (?:at|in|after|on)\b|resets_?(?:at|in)")


def kind_of(message: str, status: int | None, *, is_own: bool) -> type[AgentFailed]:
    """The error for an agent's message, and the HTTP status of its provider if that is known.

    `is_own` says whether the message is certainly the program's and not the answer of a model. If not, only a short
    one that says it outright counts.
    """
    words = _words(message)
    if not is_own and (len(words) > _LONGEST_SENTENCE or "\n" in words):
        words = ""
    if is_own and status is None and (match := _STATUS_OF_PROVIDER.search(words)):
        status = int(match[1])
    if status is None and (_ELSEWHERE.search(words) or (not is_own and _OF_OTHERS.search(words))):
        words = ""
    is_rejected = _rejects(status) or (is_own and _REJECTED.search(words) is not None)
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


def _words(message: str) -> str:
    """The part of a message that is judged, in lower case and with plain apostrophes."""
    return message[:_JUDGED].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip()


def _rejects(status: int | None) -> bool:
    return status is not None and 400 <= status < 500 and status not in _PASSING


def what_to_change(message: str) -> str:
    """What would let a request through that was rejected or declined with this message; "" if nothing is known."""
    words = _words(message)
    if re.search(_WRONG_MODEL, words):
        return "Correct the job's model: there is none of that name, or not for this account."
    if re.search(_TOO_LONG, words):
        return "Shorten the prompt, or let it read less."
    return "Word the prompt differently, or set another model." if _DECLINED.search(words) else ""


def own_lines(printed: str) -> str:
    """What of the lines that were printed may be the agent's own words about its failure.

    Those of programs that it has started are left out. A line that names its provider counts wherever it stands; any
    other one only if no later line says of what the agent died.
    """
    own = [line for line in printed.splitlines() if not (_OF_OTHERS.search(line) or _ELSEWHERE.search(line))]
    died = max((number for number, line in enumerate(own) if _died_otherwise(line)), default=-1)
    return "\n".join(line for number, line in enumerate(own) if number > died or _OF_PROVIDER.search(line))


def _died_otherwise(line: str) -> bool:
    return _DIED.search(line) is not None and kind_of(line, None, is_own=True) is AgentFailed
