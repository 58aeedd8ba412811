"""Strict-Transport-Security as servers, and those who mean harm, write it."""

from __future__ import annotations

import pytest

from inferaudit.collect.endpoint_look import hsts
from inferaudit.collect.http_client import Reply
from inferaudit.facts.endpoint import TlsAnswer


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("max-age=31536000; includeSubDomains", 31536000),
        ('includeSubDomains; Max-Age="60"', 60),
        ("max-age=²", None),
        ("max-age=" + "9" * 900, None),
        ("max-age=-1", None),
        ("", None),
    ],
)
def test_the_age(value: str, seconds: int | None) -> None:
    tls = TlsAnswer(version=None, cipher=None, chain_ok=None, host_ok=None, trust="system")
    found = hsts(tls, {"/": Reply(200, {"strict-transport-security": value})})
    assert found is not None
    assert found.hsts_s == seconds
