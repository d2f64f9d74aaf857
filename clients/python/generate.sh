#!/usr/bin/env bash
# Writes braid/_proto from the wire's definition: ./generate.sh [FOLDER instead of this one]
# Needs grpcio-tools as pyproject.toml pins it: what it writes runs with that version's grpcio and protobuf, and newer ones.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="${1:-$here}"
mkdir -p "$out/braid/_proto"
# The mapped path makes the modules import each other as part of the package.
"${PYTHON:-python3}" -m grpc_tools.protoc -I "braid/_proto=$here/../../proto/braid/v1" \
    --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
    braid/_proto/plan.proto braid/_proto/mixture.proto
