"""Merges from and into a bucket of an S3 server on loopback, against merges of the same folders."""

import argparse

from check import check
from server import Server


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--braid", required=True)
    braid = arguments.parse_args().braid
    server = Server()
    try:
        check(braid, server)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
