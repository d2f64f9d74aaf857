"""All that is asked of a store."""

import pathlib
import tempfile

import inputs
import results


def check(braid: str, server) -> None:
    """Merges from the store and into it, against merges of the same folders."""
    with tempfile.TemporaryDirectory() as folder:
        inputs.check(braid, server, pathlib.Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        results.check(braid, server, pathlib.Path(folder))
