"""One connection to the endpoint, by hand: what DNS, TCP and TLS cost, and what the certificate says.

A certificate that does not verify is read all the same: a second handshake trusts exactly that certificate and nothing
else, so that its dates and names can be told.
"""

from __future__ import annotations

import socket
import ssl
import time
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from inferaudit.collect.http_client import error_class
from inferaudit.facts.endpoint import TlsAnswer
from inferaudit.plan import HttpAuth
from inferaudit.tls import tls_context

_HOST_CODES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: an expired certificate still tells its dates


@dataclass(frozen=True, slots=True)
class Connected:
    """What a first connection showed. `error` is set when none came about (then `tls` may still say why)."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    addresses: tuple[str, ...] = ()
    tls: TlsAnswer | None = None
    error: str | None = None
    detail: str = ""


def connect(host: str, port: int, https: bool, auth: HttpAuth, timeout_s: float) -> Connected:
    """Connect once, and shake hands where the scheme is https; never raises."""
    start = time.perf_counter_ns()
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Connected(error="dns", detail=f"{host}: {getattr(error, 'strerror', None) or error}")
    dns_ms = _since(start)
    addresses = tuple(dict.fromkeys(str(info[4][0]) for info in infos))
    start = time.perf_counter_ns()
    try:
        sock = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        kind = "connect_timeout" if isinstance(error, TimeoutError) else "refused"
        return Connected(dns_ms, None, None, addresses, error=kind, detail=error.strerror or str(error))
    connect_ms = _since(start)
    if not https:
        sock.close()
        return Connected(dns_ms, connect_ms, None, addresses)
    start = time.perf_counter_ns()
    try:
        with tls_context(auth).wrap_socket(sock, server_hostname=host) as session:
            tls_ms = _since(start)
            answer = _describe(session, host, port, auth, timeout_s)
            return Connected(dns_ms, connect_ms, tls_ms, addresses, answer)
    except (ssl.SSLError, OSError) as error:
        sock.close()
        return _refused(error, host, port, auth, timeout_s, Connected(dns_ms, connect_ms, None, addresses))


def _describe(session: ssl.SSLSocket, host: str, port: int, auth: HttpAuth, timeout_s: float) -> TlsAnswer:
    version, cipher = session.version(), (session.cipher() or (None,))[0]
    chain_ok, host_ok = (_verified(host, port, auth, timeout_s)) if auth.insecure else (True, True)
    certificate = session.getpeercert() or _read_certificate(host, port, session.getpeercert(True), timeout_s)
    return _answer(version, cipher, chain_ok, host_ok, auth, certificate, _legacy(host, port, timeout_s))


def _refused(error: Exception, host: str, port: int, auth: HttpAuth, timeout_s: float, base: Connected) -> Connected:
    """The handshake failed: told apart into a bad certificate (which is read) and no TLS at all."""
    detail = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
    kind = "tls" if isinstance(error, ssl.SSLError) else error_class(error, headers_seen=False)
    tls = None
    if isinstance(error, ssl.SSLCertVerificationError):
        chain_ok, host_ok = _verified(host, port, auth, timeout_s)
        version, cipher, der = _anonymous(host, port, timeout_s)
        certificate = _read_certificate(host, port, der, timeout_s)
        tls = _answer(version, cipher, chain_ok, host_ok, auth, certificate, None, error=str(detail)[:200])
    return Connected(base.dns_ms, base.connect_ms, None, base.addresses, tls, kind, f"TLS: {detail}"[:200])


def _verified(host: str, port: int, auth: HttpAuth, timeout_s: float) -> tuple[bool | None, bool | None]:
    """(the chain holds, the name fits), each asked for on its own."""
    strict = replace(auth, insecure=False)
    chain = _handshake(host, port, tls_context(strict), timeout_s, check_host=False)
    whole = _handshake(host, port, tls_context(strict), timeout_s, check_host=True)
    chain_ok = chain is None if not isinstance(chain, str) else None
    if whole is None:
        return chain_ok, True
    if isinstance(whole, ssl.SSLCertVerificationError):
        return chain_ok, False if whole.verify_code in _HOST_CODES else None
    return chain_ok, None


def _handshake(
    host: str, port: int, context: ssl.SSLContext, timeout_s: float, *, check_host: bool
) -> ssl.SSLCertVerificationError | str | None:
    """None when it succeeded, the verification error, or the name of another failure."""
    context.check_hostname = check_host
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as sock,
            context.wrap_socket(sock, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error
    except OSError as error:
        return type(error).__name__


def _anonymous(host: str, port: int, timeout_s: float) -> tuple[str | None, str | None, bytes | None]:
    """Version, cipher and raw certificate of a session that trusts nobody and carries no data."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as sock,
            context.wrap_socket(sock, server_hostname=host) as session,
        ):
            return session.version(), (session.cipher() or (None,))[0], session.getpeercert(True)
    except OSError:
        return None, None, None


def _read_certificate(host: str, port: int, der: bytes | None, timeout_s: float) -> dict[str, Any]:
    """The fields of `der`, as Python's TLS library tells them of a certificate it trusts; {} when it cannot."""
    if not der:
        return {}
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
        with (
            socket.create_connection((host, port), timeout=timeout_s) as sock,
            context.wrap_socket(sock, server_hostname=host) as session,
        ):
            return dict(session.getpeercert() or {})
    except (OSError, ValueError):
        return {}


def _legacy(host: str, port: int, timeout_s: float) -> list[str] | None:
    """Which of TLS 1.0 and 1.1 the server also accepts; None where our library cannot offer them."""
    accepted = []
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # old versions are asked for to find them refused
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = version
                context.maximum_version = version
        except (ValueError, ssl.SSLError):
            return None
        if _handshake(host, port, context, timeout_s, check_host=False) is None:
            accepted.append(version.name.replace("TLSv1_1", "TLSv1.1"))
    return accepted


def _answer(
    version: str | None,
    cipher: str | None,
    chain_ok: bool | None,
    host_ok: bool | None,
    auth: HttpAuth,
    certificate: dict[str, Any],
    legacy: list[str] | None,
    error: str | None = None,
) -> TlsAnswer:
    subject, issuer = _name(certificate.get("subject")), _name(certificate.get("issuer"))
    names = [str(value)[:253] for _, value in certificate.get("subjectAltName", ())][:50]
    return TlsAnswer(
        version=version,
        cipher=cipher,
        chain_ok=chain_ok,
        host_ok=host_ok,
        trust="the CA file given with --ca" if auth.ca_file else "the system's certificate authorities",
        names=names,
        subject=subject,
        issuer=issuer,
        not_before=_iso(_date(certificate.get("notBefore"))),
        not_after=_iso(_date(certificate.get("notAfter"))),
        self_signed=(subject == issuer) if certificate else None,
        legacy=legacy,
        error=error,
    )


def _name(parts: Any) -> str:
    pairs = [pair for group in parts or () for pair in group]
    return ", ".join(f"{key}={value}" for key, value in pairs)[:300]


def _date(text: str | None) -> datetime | None:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC) if text else None


def _iso(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e6
