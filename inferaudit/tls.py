"""How TLS is spoken to a service: whom to trust, and who we are."""

import ssl
from pathlib import Path

from inferaudit.errors import UsageError
from inferaudit.plan import HttpAuth


def tls_context(auth: HttpAuth, *protocols: str) -> ssl.SSLContext:
    """The TLS settings of `auth`, offering `protocols` (ALPN); :class:`UsageError` where a file of it does not do."""
    try:
        context = ssl.create_default_context(cafile=auth.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--ca {auth.ca_file}: {getattr(error, 'strerror', None) or 'no PEM certificates'}") from None
    if auth.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if auth.cert_file or auth.key_file:
        _load_client(context, auth)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def _load_client(context: ssl.SSLContext, auth: HttpAuth) -> None:
    if not auth.cert_file:
        raise UsageError("--client-key needs --client-cert, the certificate it is the key of")
    for flag, path in (("--client-cert", auth.cert_file), ("--client-key", auth.key_file)):
        try:
            if path:
                Path(path).open("rb").close()
        except OSError as error:  # OpenSSL does not say which of the two it could not open
            raise UsageError(f"{flag} {path}: {error.strerror}") from None

    def encrypted() -> bytes:  # without it OpenSSL asks at the terminal, and a pipeline stands still
        raise UsageError(f"{flag} {path}: the key is encrypted; write it without a passphrase: openssl pkey -in {path}")

    flag, path = ("--client-key", auth.key_file) if auth.key_file else ("--client-cert", auth.cert_file)
    try:
        context.load_cert_chain(auth.cert_file, auth.key_file or None, encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"{flag} {path}: not the key of --client-cert {auth.cert_file}") from None
        wanted = "a certificate and its key in PEM" if not auth.key_file else "a certificate and a key in PEM each"
        raise UsageError(f"--client-cert {auth.cert_file}: {wanted} are needed (key apart: --client-key)") from None
