#!/usr/bin/env bash
# The quality table on a machine without Node and network, to which files come in parts:
#   onGpuMachine.sh stage FILE...      puts what was carried to /tmp/spinfer-stage
#   onGpuMachine.sh run [OPTION...]    assembles, unpacks and runs main.mjs; results in $OUT
#
# Staged are the archives of scripts/packForGpu.mjs --engine (pack.tar.gz, engine.tar.gz), a GGUF file in
# parts (model.gguf.part-aa, …, by split -b) and the text (text.txt). Without parts the embedded
# model is measured, without a text its own.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
stage=/tmp/spinfer-stage
mkdir -p "$stage"

case ${1:-} in
  stage)
    shift
    for file in "$@"; do mv "$file" "$stage/"; done
    ls -l "$stage"
    df -h "$stage" | tail -1
    ;;
  run)
    shift
    tree=/tmp/spinfer-quality
    mkdir -p "$tree"
    for archive in "$stage"/*.tar.gz; do tar -xzf "$archive" -C "$tree"; done
    for folder in scripts models; do
      rm -rf "${tree:?}/$folder" && cp -r "$root/$folder" "$tree/"
    done
    export PATH=$tree/bin:$PATH
    model=()
    if ls "$stage"/model.gguf.part-* >/dev/null 2>&1; then
      cat "$stage"/model.gguf.part-* >"$tree/model.gguf"
      sha256sum "$tree/model.gguf"
      model+=(--gguf "$tree/model.gguf")
    fi
    if [ -f "$stage/text.txt" ]; then model+=(--text "$stage/text.txt"); fi
    node --version
    node "$tree/scripts/bench/quality/main.mjs" "${model[@]}" --out "${OUT:-$tree/results}" "$@"
    ;;
  *)
    sed -n '2,8p' "$0" >&2
    exit 2
    ;;
esac
