"""How long prompts and answers are, and the prompts themselves.

Synthetic prompts differ from the first token, so that no prefix cache answers for the model. Their length in tokens is
what was asked for as far as one common word is one token; the server's own usage is what the result counts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

from inferaudit.errors import UsageError

# Frequent English words: one token each in the vocabularies in use. 256 of them, so that a byte picks one.
WORDS = (  # noqa: SIM905  # 256 quoted words would hide the list
    "the of and to in is that it for as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what its "
    "about than into them can only other time new some could these two may first then do any like my now over such "
    "our man me even most made after also well way where much your own years work back long here how life must down "
    "those part year day both men make between state under before world great same right three still home hand place "
    "old while last might since us high house each small few many number take end people point nation group water "
    "fact large far head set form public off let given line local almost room side next power early light need best "
    "main kind close free land white field table full open door real air mind cost body road city food car word left "
    "night several plan true voice order south north past west east book paper river music stage heart rate star rest "
    "view test bank ship sound hard low red cut age law eye sea act art ask bad bed big box boy buy call cold deep "
    "die dog dry ear eat fall farm fast feel fine fire fish fly foot girl gold good gone green ground grow hair half "
    "hear hill hold hope horse"
).split()
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Distribution:
    """A whole number of tokens, at least 1. `parts` are (weight, low, high, mean, deviation)."""

    kind: str
    values: tuple[float, ...]
    weights: tuple[float, ...] = ()

    def draw(self, rng: random.Random) -> int:
        """One length."""
        match self.kind:
            case "fixed":
                value = self.values[0]
            case "uniform":
                value = rng.randint(int(self.values[0]), int(self.values[1]))
            case "normal":
                value = rng.gauss(self.values[0], self.values[1])
            case "lognormal":
                value = rng.lognormvariate(*_log_parameters(*self.values))
            case "exponential":
                value = rng.expovariate(1 / self.values[0])
            case _:
                value = rng.choices(self.values, self.weights)[0]
        return max(1, round(min(value, _MOST)))

    @property
    def mean(self) -> float:
        """The expected length, for estimates."""
        if self.kind == "uniform":
            return sum(self.values) / 2
        if self.kind == "mix":
            return sum(v * w for v, w in zip(self.values, self.weights, strict=True)) / sum(self.weights)
        return self.values[0]

    @property
    def fixed(self) -> bool:
        """Are all the same?"""
        return self.kind == "fixed"


def parse_distribution(text: str, flag: str = "--input-tokens") -> Distribution:
    """``128``, ``uniform:64,256``, ``normal:128,32``, ``lognormal:…``, ``exponential:128``, ``mix:64@9,2048@1``."""
    kind, colon, rest = text.strip().partition(":")
    try:
        if not colon:
            return _checked(Distribution("fixed", (float(int(kind)),)), text, flag)
        if kind == "mix":
            parts = [part.partition("@") for part in rest.split(",")]
            return _checked(
                Distribution("mix", tuple(float(p[0]) for p in parts), tuple(float(p[2] or 1) for p in parts)),
                text,
                flag,
            )
        values = tuple(float(part) for part in rest.split(","))
        wanted = {"uniform": 2, "normal": 2, "lognormal": 2, "exponential": 1}.get(kind)
        if wanted == len(values):
            return _checked(Distribution(kind, values), text, flag)
    except ValueError:
        pass
    raise UsageError(
        f"{flag} {text!r}: write a count such as 128, or uniform:LOW,HIGH, normal:MEAN,DEVIATION, "
        "lognormal:MEAN,DEVIATION, exponential:MEAN, mix:N@WEIGHT,N@WEIGHT"
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """Prompts of more than four words: four that tell numbers below 2³² apart, and a rest that is kept for others.

    The bytes of `mixed` choose the four words, its remainder by `kept` the rest. There are few rests, so that they
    stay in a core's own cache: fetching them from memory took as long as all else of a request.
    """

    salt: int
    kept: int
    words: int
    seed: int

    def mixed(self, number: int) -> int:
        """An odd factor: a bijection of the numbers below 2³²."""
        return (number * ODD + self.salt) & 0xFFFFFFFF

    def opening(self, number: int) -> bytes:
        """The first four words."""
        return b" ".join(_words(self.mixed(number)))

    def rest(self, place: int) -> bytes:
        """All words but the first four."""
        return _cut(self.seed, place, self.words - 4)


def parts(tokens: int, seed: int) -> Parts:
    """The parts of prompts of `tokens` words."""
    return Parts(_salt(seed), _KEPT_RESTS if tokens < _LONG else 1, tokens, seed)


def prompter(tokens: int, seed: int) -> Callable[[int], bytes]:
    """A function from request number to a prompt of `tokens` words (ASCII).

    The first four words differ from those of every other number below 2³².
    """
    if tokens <= 4:
        return lambda number: b" ".join(_words(number * ODD + _salt(seed))[:tokens])
    of = parts(tokens, seed)
    rest = lru_cache(of.kept)(of.rest)

    def prompt_of(number: int) -> bytes:
        return b"%s %s" % (of.opening(number), rest(of.mixed(number) % of.kept))

    return prompt_of


def prompt(number: int, tokens: int, seed: int) -> bytes:
    """One prompt; see `prompter`."""
    return _prompter(tokens, seed)(number)


def _salt(seed: int) -> int:
    return seed * 0x85EBCA6B + 0x1B873593


def _words(mixed: int) -> tuple[bytes, bytes, bytes, bytes]:
    words = WORD_BYTES
    return words[mixed & 0xFF], words[mixed >> 8 & 0xFF], words[mixed >> 16 & 0xFF], words[mixed >> 24 & 0xFF]


_prompter = lru_cache(maxsize=32)(prompter)
WORD_BYTES = tuple(word.encode() for word in WORDS)
ODD = 0x9E3779B1
_KEPT_RESTS = 256
_FILLER_WORDS = 16384
_LONG = 2048


def _cut(seed: int, at: int, words: int) -> bytes:
    """`words` words of the filler from the word `at`, round and round."""
    text, starts = _filler(seed)
    parts = []
    while words > 0:
        take = min(words, _FILLER_WORDS - at)
        parts.append(text[starts[at] : starts[at + take] - 1])
        words -= take
        at = 0
    return b" ".join(parts)


@cache
def _filler(seed: int) -> tuple[bytes, tuple[int, ...]]:
    rng = random.Random(f"{seed}:filler")  # noqa: S311  # reproducible on purpose
    words = rng.choices(WORDS, k=_FILLER_WORDS)
    starts, at = [], 0
    for word in words:
        starts.append(at)
        at += len(word) + 1
    return " ".join(words).encode(), (*starts, at)


def _log_parameters(mean: float, deviation: float) -> tuple[float, float]:
    variance = math.log1p((deviation / mean) ** 2)
    return math.log(mean) - variance / 2, math.sqrt(variance)


def _checked(distribution: Distribution, text: str, flag: str) -> Distribution:
    low = min(distribution.values[:1] if distribution.kind != "mix" else distribution.values)
    ordered = distribution.kind != "uniform" or distribution.values[0] <= distribution.values[1]
    positive = all(0 <= v <= _MOST for v in distribution.values)
    weighed = all(w >= 0 for w in distribution.weights) and (not distribution.weights or sum(distribution.weights) > 0)
    if not (low >= 1 and ordered and positive and weighed and sum(distribution.weights) < math.inf):
        raise UsageError(f"{flag} {text!r}: lengths lie between 1 and 10 000 000 tokens")
    return distribution
