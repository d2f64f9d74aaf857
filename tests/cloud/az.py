"""Merges from and into a container of Azurite on loopback, against merges of the same folders."""

import argparse

from azurite import Azurite
from check import check


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--braid", required=True)
    arguments.add_argument("--azurite", required=True, help="the program azurite-blob")
    arguments = arguments.parse_args()
    server = Azurite(arguments.azurite)
    try:
        check(arguments.braid, server)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
