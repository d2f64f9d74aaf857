#!/usr/bin/env python3
"""The ceiling of a merge: reads all of the inputs and writes as many bytes as the output has, and computes nothing.

    ceiling.py OUTPUT BYTES INPUT ...       prints {"copied_s": …, "durable_s": …} on one line

Two threads (or COPY_THREADS) take chunks of 1 MiB in turn: a read goes into a buffer that stays in the processor's cache,
a write into the output, whose size is set beforehand as braid does. `copied_s` ends when the last byte is written,
`durable_s` after fsync. Starting the interpreter is not counted. Standard library only.
"""

import json
import os
import sys
import threading
import time

CHUNK = 1 << 20


def chunks(size):
    return [(at, min(CHUNK, size - at)) for at in range(0, size, CHUNK)]


def interleave(reads, writes):
    """Reads and writes alternate in proportion, as in a merge, so that neither has the memory to itself."""
    done = 0
    for number, write in enumerate(writes, 1):
        upto = len(reads) * number // len(writes)
        yield from reads[done:upto]
        yield write
        done = upto


def main():
    output, size, inputs = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    threads = int(os.environ.get("COPY_THREADS", "2"))
    files = [os.open(path, os.O_RDONLY) for path in inputs]
    reads = [(False, file, at, length) for file in files for at, length in chunks(os.fstat(file).st_size)]
    failures = []

    began = time.perf_counter()
    out = os.open(output, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    os.ftruncate(out, size)
    # `next` on it is one step of the interpreter: the threads need no lock around it.
    jobs = iter(list(interleave(reads, [(True, out, at, length) for at, length in chunks(size)])))

    def work():
        buffer = memoryview(bytearray(CHUNK))
        try:
            for is_write, file, offset, length in jobs:
                part = buffer[:length]
                moved = os.pwrite(file, part, offset) if is_write else os.preadv(file, [part], offset)
                if moved != length:
                    raise OSError(f"{moved} of {length} bytes at {offset}")
        except OSError as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    copied = time.perf_counter() - began
    os.fsync(out)
    durable = time.perf_counter() - began
    if failures:
        sys.exit(f"{output}: {failures[0]}")
    print(json.dumps({"copied_s": copied, "durable_s": durable}))


if __name__ == "__main__":
    main()
