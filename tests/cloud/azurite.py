"""Azurite, a server of Azure Blob Storage, on loopback."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

from azure.storage.blob import BlobServiceClient
from server import Process, free_port

# The account that Azurite knows, and its key, which its documentation publishes.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite(Process):
    """The server, and what a process must know to speak to it."""

    scheme = "az"
    key_name = "AZURE_STORAGE_ACCOUNT_KEY"
    refusal = "access is refused, with status 403"

    def __init__(self, program: str):
        if not pathlib.Path(program).is_file():
            sys.exit(f"{program} is not there: npm install azurite")
        port = free_port()
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
        super().__init__([program, *where, "--silent", "--disableTelemetry", "--skipApiVersionCheck"], port)
        endpoint = f"http://127.0.0.1:{port}"
        self.environment = self.at(port) | {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
        self.client = BlobServiceClient(f"{endpoint}/{ACCOUNT}", credential={"account_name": ACCOUNT, "account_key": KEY})

    @staticmethod
    def at(port: int) -> dict[str, str]:
        """Where the server is."""
        return {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}"}

    def make(self, bucket: str) -> None:
        self.client.create_container(bucket)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.client.get_blob_client(bucket, key).upload_blob(data)

    def below(self, bucket: str, folder: str) -> dict[str, bytes]:
        """The blobs below a folder, by the rest of their names."""
        container = self.client.get_container_client(bucket)
        names = [blob.name for blob in container.list_blobs(name_starts_with=f"{folder}/")]
        return {name.removeprefix(f"{folder}/"): container.download_blob(name).readall() for name in names}

    def writes(self, bucket: str, folder: str) -> dict[str, list[str]]:
        """For each blob below a folder, what is another one after each write."""
        blobs = self.client.get_container_client(bucket).list_blobs(name_starts_with=f"{folder}/")
        return {blob.name.removeprefix(f"{folder}/"): [blob.etag] for blob in blobs}

    def uploads(self, bucket: str) -> list[str]:
        """Blobs of which there are parts alone."""
        container = self.client.get_container_client(bucket)
        there = {blob.name for blob in container.list_blobs()}
        return [blob.name for blob in container.list_blobs(include=["uncommittedblobs"]) if blob.name not in there]

    def abort_uploads(self, bucket: str) -> None:
        """Azure forgets after a week what nobody has committed; the same blob, when it is written, takes their place."""

    @contextlib.contextmanager
    def stranger(self, bucket: str) -> Iterator[dict[str, str]]:
        """The environment of somebody who may not use the container."""
        self.client.create_container(f"{bucket}-of-others")
        yield self.environment | {"AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}
