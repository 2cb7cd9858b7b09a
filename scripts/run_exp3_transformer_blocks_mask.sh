#!/usr/bin/env bash
# Runs `maskprof run` on one GPU, or on several given as 0,1.
set -euo pipefail

usage() {
  cat <<'END'
usage: run_exp3_transformer_blocks_mask.sh [GPU_ID] [flags of maskprof run]

Sets CUDA_VISIBLE_DEVICES to GPU_ID (a number, or numbers as 0,1) and runs `maskprof run` with the flags.
Without GPU_ID the variable stays as it is. `maskprof run --help` lists the flags.
END
}

case "${1-}" in
  -h | --help)
    usage
    exit 0
    ;;
esac

if [[ "${1-}" =~ ^[0-9]+(,[0-9]+)*$ ]]; then
  export CUDA_VISIBLE_DEVICES="$1"
  shift
fi

# An activated environment comes first; the one that `make` creates is the fallback.
maskprof=$(command -v maskprof || true)
if [[ -z "$maskprof" ]]; then
  maskprof="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/maskprof"
fi
if [[ ! -x "$maskprof" ]]; then
  echo "maskprof is not installed: activate its environment, or call make run once in the checkout" >&2
  exit 2
fi
exec "$maskprof" run "$@"
