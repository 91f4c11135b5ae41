"""How three providers write requests and answers, as far as their agents' programs need it.

Sources: docs.anthropic.com/en/api/messages and messages-streaming; platform.openai.com/docs/api-reference/responses and
responses-streaming; ai.google.dev/api/generate-content.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

#: What every answer is said to have used.
INPUT_TOKENS, OUTPUT_TOKENS = 11, 7

Body = dict[str, Any]
#: The events of a streamed answer; the last but one or the last holds what a plain answer is.
Events = list[Body]


class Form(ABC):
    """One provider's way to write."""

    @abstractmethod
    def is_question(self, path: str) -> bool:
        """Whether a POST to this path asks the model something."""

    def wants_stream(self, path: str, body: Body) -> bool:
        return bool(body.get("stream"))

    def model(self, path: str, body: Body) -> str:
        return str(body.get("model"))

    @abstractmethod
    def system(self, body: Body) -> object:
        """The system prompt, as it was sent."""

    @abstractmethod
    def said(self, body: Body) -> list[str]:
        """What the user said, and what tools gave back, in order."""

    @abstractmethod
    def text(self, words: str, model: str) -> Events: ...

    @abstractmethod
    def call(self, tool: str, arguments: Mapping[str, object], model: str) -> Events: ...

    @abstractmethod
    def plain(self, events: Events) -> Body:
        """The answer that these events add up to."""

    @abstractmethod
    def error(self, status: int, message: str) -> Body: ...

    def written(self, events: Events, *, stream: bool) -> tuple[bytes, str]:
        """Body and content type of an answer."""
        if not stream:
            return json.dumps(self.plain(events)).encode(), "application/json"
        names = ("event: " + str(event["type"]) + "\n" if "type" in event else "" for event in events)
        lines = (f"{name}data: {json.dumps(event)}\n\n" for name, event in zip(names, events, strict=True))
        return "".join(lines).encode(), "text/event-stream"


class Messages(Form):
    """Anthropic's Messages API."""

    def is_question(self, path: str) -> bool:
        return path.partition("?")[0].endswith("/v1/messages")

    def system(self, body: Body) -> object:
        return body.get("system")

    def said(self, body: Body) -> list[str]:
        return [
            text for message in body["messages"] if message["role"] == "user" for text in _words(message["content"])
        ]

    def text(self, words: str, model: str) -> Events:
        delta = {"type": "text_delta", "text": words}
        return self._events({"type": "text", "text": ""}, delta, "end_turn", model)

    def call(self, tool: str, arguments: Mapping[str, object], model: str) -> Events:
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        return self._events({"type": "tool_use", "id": "toolu_1", "name": tool, "input": {}}, delta, "tool_use", model)

    def _events(self, block: Body, delta: Body, stop: str, model: str) -> Events:
        message: Body = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 1},
        }  # fmt: skip
        ended = {"stop_reason": stop, "stop_sequence": None}
        return [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": OUTPUT_TOKENS}},
            {"type": "message_stop"},
        ]

    def plain(self, events: Events) -> Body:
        start, block, delta, _, ended, _ = events
        content = {**block["content_block"]}
        if "text" in content:
            content["text"] = delta["delta"]["text"]
        else:
            content["input"] = json.loads(delta["delta"]["partial_json"])
        usage = {**start["message"]["usage"], **ended["usage"]}
        return {**start["message"], **ended["delta"], "content": [content], "usage": usage}

    def error(self, status: int, message: str) -> Body:
        kinds = {
            400: "invalid_request_error",
            401: "authentication_error",
            429: "rate_limit_error",
            529: "overloaded_error",
        }
        return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}


class Responses(Form):
    """OpenAI's Responses API."""

    def is_question(self, path: str) -> bool:
        return path.partition("?")[0].endswith("/responses")

    def system(self, body: Body) -> object:
        developer = [item for item in body["input"] if item.get("role") in ("developer", "system")]
        return [body.get("instructions"), developer]

    def said(self, body: Body) -> list[str]:
        found = []
        for item in body["input"]:
            if item.get("type") == "message" and item.get("role") == "user":
                found += [part["text"] for part in item["content"] if part.get("type") == "input_text"]
            elif item.get("type") == "function_call_output":
                found += _words(item["output"])
        return found

    def text(self, words: str, model: str) -> Events:
        content = [{"type": "output_text", "text": words, "annotations": []}]
        return self._events({"type": "message", "id": "msg_1", "role": "assistant", "content": content})

    def call(self, tool: str, arguments: Mapping[str, object], model: str) -> Events:
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": tool}
        return self._events({**item, "arguments": json.dumps(arguments)})

    def _events(self, item: Body) -> Events:
        usage = {
            "input_tokens": INPUT_TOKENS, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": OUTPUT_TOKENS,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        }  # fmt: skip
        done = {"id": "resp_1", "object": "response", "status": "completed", "output": [item], "usage": usage}
        return [
            {"type": "response.created", "response": {"id": "resp_1", "object": "response", "status": "in_progress"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": done},
        ]

    def plain(self, events: Events) -> Body:
        return dict(events[-1]["response"])

    def error(self, status: int, message: str) -> Body:
        return {"error": {"message": message, "type": "error", "param": None, "code": None}}


class GenerateContent(Form):
    """Google's Gemini API."""

    _path = re.compile(r"/models/([^/:]+):(stream)?[gG]enerateContent")

    def is_question(self, path: str) -> bool:
        return self._path.search(path) is not None

    def wants_stream(self, path: str, body: Body) -> bool:
        return ":stream" in path

    def model(self, path: str, body: Body) -> str:
        found = self._path.search(path)
        return found[1] if found else ""

    def system(self, body: Body) -> object:
        return body.get("systemInstruction")

    def said(self, body: Body) -> list[str]:
        parts = (part for content in body["contents"] if content.get("role") == "user" for part in content["parts"])
        return [text for part in parts for text in _part(part)]

    def text(self, words: str, model: str) -> Events:
        return self._events({"text": words}, model)

    def call(self, tool: str, arguments: Mapping[str, object], model: str) -> Events:
        return self._events({"functionCall": {"name": tool, "args": dict(arguments)}}, model)

    def _events(self, part: Body, model: str) -> Events:
        usage = {
            "promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS,
            "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
        }  # fmt: skip
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        return [{"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r1"}]

    def plain(self, events: Events) -> Body:
        return events[-1]

    def error(self, status: int, message: str) -> Body:
        kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
        return {"error": {"code": status, "message": message, "status": kinds.get(status, "UNAVAILABLE")}}


def _words(content: object) -> Iterator[str]:
    """The texts in a content that is a text, or a list of parts."""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else []:
        if "text" in part:
            yield str(part["text"])
        elif part.get("type") == "tool_result":
            yield from _words(part.get("content"))


def _part(part: Body) -> Iterator[str]:
    if "text" in part:
        yield str(part["text"])
    elif "functionResponse" in part:
        yield json.dumps(part["functionResponse"]["response"], ensure_ascii=False)


FORMS: tuple[Form, ...] = (Messages(), Responses(), GenerateContent())
