"""A certificate for the relay of the benchmarks."""

import shutil
import subprocess
from pathlib import Path

# A key of the kind that relays have, and all that a strict client wants of an authority: it is its own.
_REQUEST = (
    *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
    *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
    *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
)


def certify(folder: Path) -> Path | None:
    """A self-signed one for 127.0.0.1, its key beside it as `.key`; None where there is no `openssl` on the PATH."""
    program = shutil.which("openssl")
    if program is None:
        return None
    certificate = folder / "relay.pem"
    files = ("-out", certificate, "-keyout", certificate.with_suffix(".key"))
    subprocess.run([program, *_REQUEST, *files], check=True, capture_output=True)
    return certificate
