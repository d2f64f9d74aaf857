"""How the coordinator is known, and how this program says who it is: by a token, as the command ``braid`` does.

A token carries the SHA-256 of the certificate of the fleet's CA. The coordinator sends that certificate along with its own; it is
taken if it has this fingerprint, and then it must have signed a certificate for the name that all coordinators have.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Optional, Tuple, Union

import grpc

from braid.errors import BadCredentials, Refused, Unavailable

COORDINATOR_NAME = "coordinator.braid"
"""What a coordinator's certificate names, whatever its addresses."""

File = Union[str, "os.PathLike[str]"]

_TOKEN = re.compile(r"braid-(join|user)-([0-9a-f]{64})-([0-9a-f]{64})", re.ASCII)
_CONNECT_S, _PAUSE_S = 5.0, 0.5


@dataclass(frozen=True)
class Token:
    """Who asks, and whom to believe."""

    secret: str = field(repr=False)
    ca: str


def resolve(address: Optional[str], token: Optional[str], credentials: Optional[File]) -> Tuple[str, Token]:
    """Where the coordinator is, and the token for it. In this order: ``token``, ``credentials``, the variables ``BRAID_TOKEN``
    and ``BRAID_CREDENTIALS``, the user's own file. The address is the one given, or else ``BRAID_COORDINATOR``, or the first of
    the file."""
    address = address or os.environ.get("BRAID_COORDINATOR") or None
    if credentials is None and token is None:
        token = os.environ.get("BRAID_TOKEN") or None
        credentials = os.environ.get("BRAID_CREDENTIALS") or None
    if token is None:
        found, token = _read(Path(credentials) if credentials is not None else _home())
        address = address or found
    if address is None:
        raise BadCredentials("no coordinator is named", "give its address, or set BRAID_COORDINATOR")
    return address, _parse(token)


def channel_credentials(address: str, token: Token, retry_for: float) -> grpc.ChannelCredentials:
    """Of a channel to a coordinator of the token's fleet; asks the one at ``address`` for the fleet's certificate."""
    last_try = time.monotonic() + retry_for
    while True:
        try:
            chain = _chain(address)
            break
        except ssl.SSLError as error:
            raise Refused(f"{address} does not speak TLS: {error}", "was it started with --insecure?") from None
        except OSError as error:
            if time.monotonic() + _PAUSE_S >= last_try:
                raise Unavailable(f"no coordinator answers at {address}: {error}") from None
        time.sleep(_PAUSE_S)
    ca = next((certificate for certificate in chain if hashlib.sha256(certificate).hexdigest() == token.ca), None)
    if ca is None:
        raise Refused(f"the coordinator at {address} is not of the fleet that the token is for")
    tls = grpc.ssl_channel_credentials(ssl.DER_cert_to_PEM_cert(ca).encode())
    return grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token.secret))


def _parse(text: str) -> Token:
    """The error does not repeat it."""
    found = _TOKEN.fullmatch(text.strip())
    if found is None:
        raise BadCredentials("not a token: one begins with braid-user- and has 140 characters")
    if found[1] == "join":
        hint = "`braid token create --role operator` makes one for a person"
        raise BadCredentials("a join token lets a worker join, and nothing else", hint)
    return Token(secret=found[2], ca=found[3])


def _home() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(folder, "braid", "credentials.json")


def _read(path: Path) -> Tuple[Optional[str], str]:
    """The first address of a credentials file, and its token."""
    try:
        mode, text = path.stat().st_mode, path.read_text()
    except FileNotFoundError:
        hint = "set BRAID_TOKEN to what `braid token create --role operator` prints, or say insecure=True for plaintext"
        raise BadCredentials(f"there is no credentials file {path}, and no token", hint) from None
    except OSError as error:
        raise BadCredentials(f"cannot read the credentials file {path}: {error.strerror}") from None
    if mode & 0o077:
        raise BadCredentials(f"others can read the credentials file {path}", f"chmod 600 {path}; if somebody has, revoke its token")
    try:
        known = json.loads(text)
        addresses, token = known["coordinators"], known["token"]
        valid = isinstance(token, str) and isinstance(addresses, list) and all(isinstance(one, str) for one in addresses)
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise BadCredentials(f"{path} is not a credentials file")
    return next(iter(addresses), None), token


def _chain(address: str) -> List[bytes]:
    """The certificates that the server at ``address`` shows, in DER. Nothing is believed yet."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadCredentials(f"{address!r} is no address such as coordinator.lan:7117")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S) as plain:
        with context.wrap_socket(plain, server_hostname=COORDINATOR_NAME) as secured:
            return _unverified(secured)


def _unverified(secured: ssl.SSLSocket) -> List[bytes]:
    connection: Any = secured
    if sys.version_info >= (3, 13):
        return list(connection.get_unverified_chain())
    inner = connection._sslobj
    if not hasattr(inner, "get_unverified_chain"):
        raise BadCredentials("this version of Python cannot show a server's certificates", "Python 3.10 or newer can")
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain()]
