"""A stand-in for Google Cloud Storage on loopback, as far as results need one: Moto's S3 behind the headers and tokens of Google's.

Clients of Google's speak XML whose documents, paths and queries are those of S3. Different are the tokens, which machines get from a server of
metadata; the headers of what an object is beside its bytes; and that an object is to be written only where there is none. This is none of
Google's servers, and says nothing about what those do otherwise. No emulator that PyPI or npm has takes such requests.
"""

import argparse
import json
import secrets
from collections.abc import Callable, Iterable

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

TOKEN = secrets.token_hex(8)
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
OURS, THEIRS = "HTTP_X_GOOG_", "HTTP_X_AMZ_"


class Google:
    """Moto as the clients of Google see it."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict, start: Callable) -> Iterable[bytes]:
        if environ["PATH_INFO"] == METADATA:
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"access_token": TOKEN, "expires_in": 36_000, "token_type": "Bearer"}).encode()]
        if environ.pop("HTTP_AUTHORIZATION", None) != f"Bearer {TOKEN}":
            start("401 Unauthorized", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AuthenticationRequired</Code><Message>Invalid Credentials</Message></Error>"]
        if environ.pop(f"{OURS}IF_GENERATION_MATCH", None) == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        for name in [name for name in environ if name.startswith(OURS)]:
            environ[THEIRS + name.removeprefix(OURS)] = environ.pop(name)
        # For those who fill buckets, every request is one of S3's.
        environ["HTTP_AUTHORIZATION"] = "AWS4-HMAC-SHA256 Credential=x/20300101/us-east-1/s3/aws4_request"

        def answer(status: str, headers: list[tuple[str, str]], *more) -> Callable:
            renamed = [(name.lower().replace("x-amz-meta-", "x-goog-meta-"), value) for name, value in headers]
            return start(status, renamed, *more)

        return self.moto(environ, answer)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    run_simple("127.0.0.1", arguments.parse_args().port, Google(), threaded=True)


if __name__ == "__main__":
    main()
