"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate(folder: Path, *, days: int = 2, name: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 (or the alternative name `name`), good for `days`, and its key."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-keyout", str(key), "-out",
         str(cert), "-subj", "/CN=127.0.0.1", "-addext", f"subjectAltName={name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key
