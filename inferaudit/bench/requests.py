"""Request bytes: head, id, length and a JSON body, built from parts that are encoded once."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inferaudit.bench.endpoint import Endpoint, request_head
from inferaudit.bench.protocols import Protocol, to_json
from inferaudit.bench.tokens import ODD, WORD_BYTES, Distribution, parts, prompt, prompter
from inferaudit.errors import UsageError

_MARK = "\ue000inferaudit-prompt\ue001"
_TOKENS = 918_273_645
_TEXTS = ("prompt", "text", "input")
_PLACES = re.compile(r"\{\{[^{}\"]*\}\}")
_KNOWN_PLACES = {"{{prompt}}", "{{max_tokens}}", "{{model}}", "{{index}}"}
_MAX_FILE_BYTES = 1 << 30


def builder(
    endpoint: Endpoint,
    api: Protocol,
    *,
    model: str,
    stream: bool,
    headers: Mapping[str, str],
    run_id: str,
    seed: int,
    nonce: int,
    base: int = 0,
    lengths: tuple[Distribution, Distribution],
    dataset: Sequence[Any] = (),
    template: str = "",
    fixed_body: bytes | None = None,
    repeat: bool = False,
) -> Callable[[int], bytes]:
    """A function from request number to the whole request: pure, so that any worker can build any request.

    Lengths follow `seed` alone; the words of synthetic prompts follow the run's `nonce` too, for a server's caches may
    still hold those of an earlier run.

    `fixed_body` is sent as it is; `template` is JSON text with {{prompt}}, {{max_tokens}}, {{model}}, {{index}};
    `repeat` sends the prompt of number 0 every time (to measure caches).
    """
    accept = "text/event-stream, application/x-ndjson, application/json" if stream else "application/json"
    route = api.target(endpoint.path, model, stream)
    head = request_head(endpoint, route, headers, accept) + f"X-Request-Id: {run_id}-".encode()
    words = seed ^ nonce
    plain = not (dataset or template or repeat or fixed_body) and lengths[0].fixed and lengths[1].fixed
    around = to_json(api.body(model, _MARK, int(lengths[1].values[0]), stream)).split(_MARK.encode()) if plain else []
    if len(around) == 2 and api.name != "openai-rerank":
        return _unvaried(head, around[0], around[1], base, int(lengths[0].values[0]), words)
    body = _body(api, model, stream, (seed, words), lengths, dataset, template, fixed_body)

    def build(number: int) -> bytes:
        number += base
        content = body(0 if repeat else number)
        return b"%s%d\r\nContent-Length: %d\r\n\r\n%s" % (head, number, len(content), content)

    return build


def _unvaried(head: bytes, before: bytes, after: bytes, base: int, tokens: int, seed: int) -> Callable[[int], bytes]:
    """The usual case, short: requests that differ in nothing but id and prompt, put together from parts."""
    if tokens <= 4:
        prompt_of = prompter(tokens, seed)

        def build_short(number: int) -> bytes:
            number += base
            content = b"%s%s%s" % (before, prompt_of(number), after)
            return b"%s%d\r\nContent-Length: %d\r\n\r\n%s" % (head, number, len(content), content)

        return build_short
    of = parts(tokens, seed)
    salt, kept, words, around = of.salt, of.kept, WORD_BYTES, len(before) + 4
    rests: dict[int, tuple[bytes, int]] = {}

    def build(number: int) -> bytes:
        number += base
        mixed = (number * ODD + salt) & 0xFFFFFFFF  # of.mixed, where a call costs as much as what it does
        a, b, c, d = words[mixed & 0xFF], words[mixed >> 8 & 0xFF], words[mixed >> 16 & 0xFF], words[mixed >> 24]
        found = rests.get(mixed % kept)
        if found is None:
            rest = of.rest(mixed % kept) + after
            found = rests[mixed % kept] = rest, around + len(rest)
        rest, length = found
        length += len(a) + len(b) + len(c) + len(d)
        return b"%s%d\r\nContent-Length: %d\r\n\r\n%s%s %s %s %s %s" % (
            head, number, length, before, a, b, c, d, rest,
        )  # fmt: skip

    return build


def read_dataset(text: str, name: str) -> list[Any]:
    """JSON Lines: each a prompt (string), an object with `prompt`, `text` or `messages`, or a whole `body`."""
    rows: list[Any] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            to_json(row)
        except json.JSONDecodeError as error:
            raise UsageError(f"{name}:{number}: not JSON: {error.msg}") from None
        except (ValueError, RecursionError) as error:  # half a character, a number of 5 000 digits, 1 000 brackets
            raise UsageError(f"{name}:{number}: not JSON that can be sent: {error}") from None
        if wrong := _wrong(row):
            raise UsageError(f"{name}:{number}: {wrong}")
        rows.append(row)
    if not rows:
        raise UsageError(f"{name} holds no prompts")
    return rows


def _wrong(row: Any) -> str:
    """Why a row says no request; empty where it does."""
    if not isinstance(row, dict):
        return "" if isinstance(row, str) else "neither a string nor an object"
    for key in ("max_tokens", "output_tokens"):
        value = row.get(key)
        if value is not None and not (isinstance(value, int | float) and 1 <= value < 1e9):
            return f"{key} is no number of tokens"
    messages = row.get("messages")
    said = isinstance(messages, list) and messages and all(isinstance(message, dict) for message in messages)
    if said or isinstance(row.get("body"), dict | list) or any(isinstance(row.get(key), str) for key in _TEXTS):
        return ""
    return "needs a text (prompt, text or input), messages (a list of objects) or a body (an object)"


def repeated_share(dataset: Sequence[Any]) -> float:
    """The share of prompts that an earlier one repeats: caches may answer those."""
    texts = [json.dumps(row, sort_keys=True) for row in dataset]
    return 1 - len(set(texts)) / len(texts) if texts else 0.0


def _body(
    api: Protocol,
    model: str,
    stream: bool,
    seeds: tuple[int, int],
    lengths: tuple[Distribution, Distribution],
    dataset: Sequence[Any],
    template: str,
    fixed_body: bytes | None,
) -> Callable[[int], bytes]:
    if fixed_body is not None:
        return lambda number: fixed_body
    inputs, outputs = lengths
    length_seed, seed = seeds

    def sizes(number: int) -> tuple[int, int]:
        if inputs.fixed and outputs.fixed:
            return int(inputs.values[0]), int(outputs.values[0])
        rng = random.Random(f"{length_seed}:{number}:lengths")  # noqa: S311  # reproducible on purpose
        return inputs.draw(rng), outputs.draw(rng)

    if template:
        return _from_template(template, model, seed, sizes, dataset)
    if dataset:
        return _from_dataset(api, model, stream, sizes, dataset)
    text = to_json(api.body(model, _MARK, _TOKENS, stream))
    parts = text.split(_MARK.encode())
    if len(parts) == 1:  # the API takes no text
        return lambda number: text
    if len(parts) > 2 or api.name == "openai-rerank":
        return lambda number: to_json(
            api.body(model, prompt(number, sizes(number)[0], seed).decode(), sizes(number)[1], stream)
        )
    before, after = parts[0], parts[1].split(str(_TOKENS).encode())

    def from_words(number: int) -> bytes:
        words, tokens = sizes(number)
        return before + prompt(number, words, seed) + str(tokens).encode().join(after)

    return from_words


def check_template(template: str, model: str) -> None:
    """:class:`UsageError` where it asks for what is not known, or is not JSON once filled in."""
    if unknown := set(_PLACES.findall(template)) - _KNOWN_PLACES:
        known = ", ".join(sorted(_KNOWN_PLACES))
        raise UsageError(f"the template has {', '.join(sorted(unknown))}, which nothing fills; known are {known}")
    try:
        json.loads(_fill(template, model, "prompt", 1, 0))
    except json.JSONDecodeError as error:
        raise UsageError(f"the template is not JSON once filled in: {error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the template is not JSON once filled in: {error}") from None


def _from_template(
    template: str,
    model: str,
    seed: int,
    sizes: Callable[[int], tuple[int, int]],
    dataset: Sequence[Any],
) -> Callable[[int], bytes]:
    def from_template(number: int) -> bytes:
        words, tokens = sizes(number)
        text = _prompt_of(dataset[number % len(dataset)]) if dataset else prompt(number, words, seed).decode()
        return _fill(template, model, text, tokens, number).encode()

    return from_template


def _fill(template: str, model: str, text: str, tokens: int, number: int) -> str:
    filled = template.replace("{{max_tokens}}", str(tokens)).replace("{{index}}", str(number))
    filled = filled.replace("{{model}}", json.dumps(model)[1:-1])
    return filled.replace("{{prompt}}", json.dumps(text, ensure_ascii=False)[1:-1])


def _from_dataset(
    api: Protocol, model: str, stream: bool, sizes: Callable[[int], tuple[int, int]], dataset: Sequence[Any]
) -> Callable[[int], bytes]:
    def from_dataset(number: int) -> bytes:
        row = dataset[number % len(dataset)]
        if isinstance(row, dict) and "body" in row:
            return to_json(row["body"])
        tokens = sizes(number)[1]
        if isinstance(row, dict):
            tokens = int(row.get("max_tokens") or row.get("output_tokens") or tokens)
        body = api.body(model, _prompt_of(row), tokens, stream)
        if isinstance(row, dict) and "messages" in row and "messages" in body:
            body["messages"] = row["messages"]
        return to_json(body)

    return from_dataset


def _prompt_of(row: Any) -> str:
    if isinstance(row, str):
        return row
    for key in _TEXTS:
        if isinstance(row.get(key), str):
            return str(row[key])
    messages = row.get("messages")
    return "\n".join(str(m.get("content", "")) for m in messages if isinstance(m, dict)) if messages else ""
