#!/usr/bin/env bash
# Everything that only a GPU can show, on a machine with one: no network, and no CUDA but the driver. Two programs are needed, built here
# or brought along: gpu-check and braid.
#
# tests/gpu/run.sh [FOLDER]: FOLDER has them; without it they are built with cargo. Softmax attention, and the matrix product that the others
# are held against, need libcublas.so.13, gathers libnccl.so.2, and files that GPUs read by themselves libcufile.so.0: BRAID_CUBLAS,
# BRAID_NCCL and BRAID_CUFILE name folders that have them. BRAID_STORAGE names a folder on a disk that GPUs reach, and BRAID_RECIPE a recipe
# with large models there, which is merged in three ways, timed and compared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '\n== %s\n' "$*"; }

programs="${1:-}"
if [ -z "$programs" ]; then
    cargo build --release -p braid-gpu-check -p braid
    programs="${CARGO_TARGET_DIR:-target}/release"
fi
code=0

# Looks for libraries in a folder, if one is named, before all others; an empty entry would be the working directory.
look_in() {
    if [ -n "$1" ]; then export LD_LIBRARY_PATH="$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
}
look_in "${BRAID_CUBLAS:-}"

say 'the machine'
nvidia-smi --query-gpu=index,name,driver_version,memory.total,ecc.mode.current,clocks.max.mem --format=csv || code=1

say 'every kernel against its oracle'
"$programs/gpu-check" || code=1

if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        say "small cases under compute-sanitizer, $tool"
        compute-sanitizer --tool "$tool" --error-exitcode 9 "$programs/gpu-check" --quick || code=1
    done
else
    say 'compute-sanitizer is not here: its checks are left out'
fi

say 'merges on the GPU have the bytes of the CPU'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for recipe in examples/*.yml; do
    grep -q '^merge_method:\|^slices:\|^models:' "$recipe" || continue
    name=$(basename "$recipe" .yml)
    BRAID_MERGE_ON=cpu "$programs/braid" merge "$recipe" "$work/cpu-$name" --quiet || continue
    BRAID_MERGE_ON=gpu "$programs/braid" merge "$recipe" "$work/gpu-$name" --quiet || code=1
    if diff -rq "$work/cpu-$name" "$work/gpu-$name" >/dev/null; then echo "$name: the same"; else
        echo "$name: DIFFERENT"
        code=1
    fi
done

if ldconfig -p | grep -q 'libcufile.so.0' || [ -n "${BRAID_CUFILE:-}" ]; then
    say 'files that a GPU reads by itself; 3 means that there is no way from this folder, and is no failure'
    look_in "${BRAID_CUFILE:-}"
    stored=$(mktemp -d -p "${BRAID_STORAGE:-$work}")
    read_by_gpu=0
    "$programs/gpu-check" --storage "$stored" || read_by_gpu=$?
    rm -r "$stored"
    echo "it ends with $read_by_gpu"
    if [ "$read_by_gpu" -ne 0 ] && [ "$read_by_gpu" -ne 3 ]; then code=1; fi
else
    say 'libcufile.so.0 is not here: no files that a GPU reads by itself; BRAID_CUFILE names a folder that has it'
fi

if [ -n "${BRAID_RECIPE:-}" ]; then
    say "$BRAID_RECIPE in three ways"
    for way in cpu gpu gpudirect; do
        sync
        # as root: each way reads the disk
        if [ -w /proc/sys/vm/drop_caches ]; then echo 3 >/proc/sys/vm/drop_caches; fi
        begin=$(date +%s%N)
        BRAID_MERGE_ON=$way "$programs/braid" merge "$BRAID_RECIPE" "$work/$way" --quiet || code=1
        echo "$way: $((($(date +%s%N) - begin) / 1000000)) ms"
        diff -rq "$work/cpu" "$work/$way" || code=1
    done
fi

if ldconfig -p | grep -q 'libnccl.so.2' || [ -n "${BRAID_NCCL:-}" ]; then
    say 'two processes gather over NCCL on one GPU'
    # NCCL takes two ranks with one GPU for a mistake, unless they say that they are on two machines.
    look_in "${BRAID_NCCL:-}"
    export NCCL_SOCKET_IFNAME=lo NCCL_IB_DISABLE=1 NCCL_DEBUG=WARN
    NCCL_HOSTID=a "$programs/gpu-check" --gather 0 2 "$work/id" 120 &
    first=$!
    NCCL_HOSTID=b "$programs/gpu-check" --gather 1 2 "$work/id" 120 || code=1
    wait "$first" || code=1
else
    say 'libnccl.so.2 is not here: no gather over NCCL; BRAID_NCCL names a folder that has it'
fi

say 'measured; goals: merging at 80 % of the copy; attention at 50 % of the copy, or of the product where that is what binds'
"$programs/gpu-check" --measure || code=1

say "$([ "$code" -eq 0 ] && echo 'all of it holds' || echo 'something does not hold: see above')"
exit "$code"
