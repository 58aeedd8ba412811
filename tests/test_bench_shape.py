"""What is taken as known without decoding must be what decoding says."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.bench.answers import UNSTATED, Answer, openai_event
from inferaudit.bench.shape import Shape

DELTA = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.one_of(st.none(), st.text(max_size=6)),
        "reasoning_content": st.one_of(st.none(), st.text(max_size=6)),
    },
)
CHOICE = st.fixed_dictionaries(
    {"index": st.just(0), "delta": DELTA},
    optional={
        "finish_reason": st.sampled_from([None, "stop", "error"]),
        "token_ids": st.one_of(st.none(), st.lists(st.integers(0, 9), max_size=2)),
    },
)
EVENT = st.fixed_dictionaries(
    {"id": st.just("x")},
    optional={
        "choices": st.lists(CHOICE, max_size=2),
        "usage": st.one_of(st.none(), st.fixed_dictionaries({"completion_tokens": st.integers(0, 3)})),
        "error": st.sampled_from([None, "late"]),
    },
)
SPACED = st.sampled_from([(",", ":"), (", ", ": ")])


def read(event: bytes, answer: Answer) -> int | str:
    try:
        return openai_event(event, answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return type(error).__name__


@given(st.lists(EVENT, min_size=2, max_size=8), SPACED, st.booleans())
def test_a_shape_says_what_decoding_says(events: list[object], spaced: tuple[str, str], ascii_only: bool) -> None:
    shape, known, full = Shape(), Answer(), Answer()
    for event in events:
        data = json.dumps(event, separators=spaced, ensure_ascii=ascii_only).encode()
        wanted = read(data, full)
        if shape.fits(data):
            found: int | str = UNSTATED
        else:
            found = read(data, known)
            if found == UNSTATED:
                shape.learn(data)
        assert found == wanted
        for name in Answer.__slots__:
            assert getattr(known, name) == getattr(full, name)


@given(st.binary(max_size=8))
def test_any_bytes_in_place_of_the_text(middle: bytes) -> None:
    before, after = b'{"choices":[{"index":0,"delta":{"content":"', b'"},"finish_reason":null}]}'
    shape = Shape()
    shape.learn(before + b" word" + after)
    assert shape.fits(before + b" other" + after)
    data = before + middle + after
    if shape.fits(data):
        assert read(data, Answer()) == UNSTATED


def test_an_overlap_of_both_ends_is_no_event() -> None:
    shape = Shape()
    shape.learn(b'{"choices":[{"text":"a"}]}')
    assert not shape.fits(b'{"choices":[{"text":"}]}')
