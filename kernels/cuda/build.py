"""Makes built/kernels.fatbin and built/kernels.tsv of the .cu files, with nvcc from the wheels in tests/cuda-requirements.txt.

python build.py [--check]

--check writes nothing, and fails where what is committed is not what the sources give. Either fails where a kernel spills registers
or keeps local arrays in memory.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import sysconfig
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ARCHITECTURES = ["80", "90a", "100a"]
# What a GPU compiles for itself whose architecture is none of these.
PTX = "80"
HEADER = "kernel\tarchitecture\tregisters\tstack bytes\tspilled bytes\tshared bytes\n"


def toolkit():
    folder = pathlib.Path(sysconfig.get_paths()["purelib"]) / "nvidia" / "cu13"
    if not (folder / "bin" / "nvcc").exists():
        sys.exit(f"{folder} has no nvcc: install tests/cuda-requirements.txt")
    return folder


def compile_all(target):
    """Compiles every kernel for every architecture, and returns what ptxas says."""
    flags = ["-std=c++17", "-O3", "-fmad=false", "-Xptxas", "-v", "--threads", "0"]
    # What a driver must decompress is 580 or newer anyway: older ones know no CUDA 13.
    flags += ["-fatbin", "-Xfatbin", "-compress-all", "-compress-mode=size"]
    for name in ARCHITECTURES:
        flags += ["-gencode", f"arch=compute_{name},code=sm_{name}"]
    flags += ["-gencode", f"arch=compute_{PTX},code=compute_{PTX}"]
    # By a relative name: a path of this machine would end in the result.
    command = [toolkit() / "bin" / "nvcc", *flags, "all.cu", "-o", target]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout + done.stderr


def figures(text):
    """A row for each kernel and architecture."""
    entry = re.compile(
        r"Compiling entry function '(?P<kernel>\w+)' for 'sm_(?P<arch>\w+)'.*?"
        r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
        r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
        re.DOTALL,
    )
    rows = []
    for found in entry.finditer(text):
        shared = re.search(r"(\d+) bytes smem", found["rest"])
        spilled = int(found["stores"]) + int(found["loads"])
        shared = int(shared[1]) if shared else 0
        rows.append((found["kernel"], found["arch"], int(found["registers"]), int(found["stack"]), spilled, shared))
    return sorted(rows, key=lambda row: (row[0], ARCHITECTURES.index(row[1])))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "kernels.fatbin"
        rows = figures(compile_all(made))
        binary = made.read_bytes()
    kernels = {row[0] for row in rows}
    declared = set(re.findall(r"^KERNEL (\w+)\(", "".join(f.read_text() for f in HERE.glob("*.cu")), re.MULTILINE))
    if kernels != declared or len(rows) != len(kernels) * len(ARCHITECTURES):
        sys.exit(f"ptxas told of {sorted(kernels)}, {len(rows)} rows; the sources have {sorted(declared)}")
    bad = [row for row in rows if row[3] or row[4]]
    if bad:
        sys.exit("\n".join(f"{row[0]} on sm_{row[1]}: {row[3]} bytes of stack, {row[4]} spilled" for row in bad))
    table = HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows)
    built = HERE / "built"
    if not check:
        (built / "kernels.tsv").write_text(table)
        (built / "kernels.fatbin").write_bytes(binary)
        print(f"{len(kernels)} kernels for {len(ARCHITECTURES)} architectures, {len(binary)} bytes")
    elif (built / "kernels.tsv").read_text() != table or (built / "kernels.fatbin").read_bytes() != binary:
        sys.exit("kernels/cuda/built is not what the sources give: run ./x cubins, and commit what it changes")
    else:
        print(f"{len(kernels)} kernels for {len(ARCHITECTURES)} architectures are as committed; none spills")


if __name__ == "__main__":
    main()
