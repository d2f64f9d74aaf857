"""Merges from and into a bucket of a real S3 server on loopback, against merges of the same folders."""

import argparse
import pathlib
import tempfile

import inputs
import results
from server import Server


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--braid", required=True)
    braid = arguments.parse_args().braid
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            inputs.check(braid, server, pathlib.Path(folder))
        with tempfile.TemporaryDirectory() as folder:
            results.check(braid, server, pathlib.Path(folder))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
