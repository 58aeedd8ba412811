"""What can be verified of the evidence that people give: the file is there, the link answers, what its headings are.

Links are followed only when asked to (``--follow-links``): plain GETs without any credential, a few, bounded in time
and bytes; a redirect is followed where it stays on the same host.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from inferaudit.evidence import TEXTS, headings, is_link, names_file
from inferaudit.facts.process import AttestationFact
from inferaudit.model import Fact
from inferaudit.policy import AttestationSection
from inferaudit.redact import redact_text

MOST_LINKS = 50
LINK_S = 10.0
ALL_LINKS_S = 60.0
_REDIRECTS = 3
_READ_BYTES = 1 << 20

Seen = tuple[bool | None, str, tuple[str, ...] | None]


def collect_attestations(
    attestations: Iterable[AttestationSection],
    base: Path,
    *,
    follow: bool = False,
    known: Iterable[AttestationFact] = (),
) -> dict[str, Fact]:
    """The fact ``process.attestations``; files are looked up in `base`, links followed with `follow`.

    What is among `known` already, and the same in every word, keeps what was verified of it then.
    """
    kept = {_words(fact): fact for fact in known}
    links = _Links(follow)
    found = [kept.get(_words(a)) or _fact(a, _look(a.evidence, base, links)) for a in attestations]
    return {"process.attestations": Fact(found)}


def _words(attestation: AttestationSection | AttestationFact) -> tuple[str | None, ...]:
    a = attestation
    return a.item, a.evidence, a.owner, a.date, a.expires


def _fact(attestation: AttestationSection, seen: Seen) -> AttestationFact:
    verified, detail, found = seen
    return AttestationFact(
        item=attestation.item,
        evidence=attestation.evidence,
        owner=attestation.owner,
        date=attestation.date,
        expires=attestation.expires,
        verified=verified,
        detail=detail,
        headings=None if found is None else tuple(map(redact_text, found)),
    )


def _look(evidence: str, base: Path, links: _Links) -> Seen:
    if is_link(evidence):
        return links.look(evidence)
    if names_file(evidence):
        return _file(base / evidence)
    return None, "a reference that no tool can verify", None


def _file(path: Path) -> Seen:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return False, "this is no file", None
        if not about.st_size:
            return False, "the file is empty", None
        if path.suffix.lower() not in TEXTS:
            return True, "the file exists", None
        with path.open("rb") as file:
            text = file.read(_READ_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return False, "no such file", None
    except (OSError, ValueError) as error:
        return False, f"the file cannot be read: {getattr(error, 'strerror', None) or 'no valid name'}", None
    return True, "the file exists", headings(text)


class _Links:
    """Links to follow, each once, within one budget."""

    def __init__(self, follow: bool) -> None:
        self._follow = follow
        self._seen: dict[str, Seen] = {}
        self._end = time.monotonic() + ALL_LINKS_S

    def look(self, url: str) -> Seen:
        """Whether the link answers. Only a plain "it is not there" is evidence against it."""
        if not self._follow:
            return None, "a link; not followed (--follow-links)", None
        if url not in self._seen:
            if len(self._seen) >= MOST_LINKS or time.monotonic() > self._end:
                return None, f"a link; not followed: {MOST_LINKS} links and {ALL_LINKS_S:.0f} s are enough", None
            self._seen[url] = _follow(url)
        return self._seen[url]


def _follow(url: str) -> Seen:
    from inferaudit.collect.http_client import Http
    from inferaudit.plan import HttpAuth
    from inferaudit.tls import tls_context

    parts = urlsplit(url)
    with Http(f"{parts.scheme}://{parts.netloc}", {}, tls_context(HttpAuth()), LINK_S) as http:
        for _ in range(_REDIRECTS + 1):
            reply = http.get(url)
            if reply.error:
                return None, f"the link did not answer ({reply.error.replace('_', ' ')})", None
            if reply.status not in (301, 302, 303, 307, 308):
                break
            try:
                to = urljoin(url, reply.headers.get("location", ""))
                host, _ = urlsplit(to).hostname, urlsplit(to).port
            except ValueError:
                return None, "the link leads to no valid address", None
            if to == url:
                break
            if host != parts.hostname or not is_link(to):
                return None, f"the link leads on to {host or 'nowhere'}, where nobody looked", None
            url = to
    match reply.status:
        case 200:
            kind = reply.headers.get("content-type", "").lower()
            text = reply.body[:_READ_BYTES].decode("utf-8", "replace")
            return True, "the link answers", headings(text) if "html" in kind or "markdown" in kind else None
        case 401 | 403 | 407:
            return None, f"the link asks who reads it (HTTP {reply.status}): a person must look", None
        case 404 | 410:
            return False, f"the link leads to nothing (HTTP {reply.status})", None
    return None, f"the link answers HTTP {reply.status}", None
