#!/usr/bin/env bash
# Runs the native tests and the benchmark on a GPU:
#   gpu.sh [test] [sanitizer] [bench] [bf16] [masks] [torch] [tune]
# All but tune take about four minutes together.
#
# Needs the programs of `node scripts/buildKernels.mjs --tests` in kernels/build. Logs and tables go
# to $OUT (default: kernels/build/results); the closing lines are printed.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
build=$here/build
out=${OUT:-$build/results}
mkdir -p "$out"
failed=0

# Where libcublasLt.so.13 lies: beside the toolkit, or in the Python package.
find_cublas() {
  local found
  found=$(find /usr/local/cuda*/ /usr/lib /opt -name 'libcublasLt.so.13' 2>/dev/null | head -1)
  [ -n "$found" ] && dirname "$found"
}
export SPINFER_CUBLAS_DIR=${SPINFER_CUBLAS_DIR:-$(find_cublas)}

# step NAME SECONDS COMMAND...: runs with a limit, keeps the log, prints its end.
step() {
  local name=$1 limit=$2 started=$SECONDS status
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  [ $status -eq 0 ] || failed=1
  echo "== $name: status $status, $((SECONDS - started)) s"
  tail -n "${LINES_SHOWN:-3}" "$out/$name.log"
}

# sanitize TOOL CASES [OPTION...]
sanitize() {
  local tool=$1 cases=$2
  shift 2
  step "$tool" 150 compute-sanitizer --tool "$tool" "$@" --error-exitcode 9 "$build/gpuTest" "$cases"
}

for what in "${@:-test}"; do
  case $what in
    test)
      step gpuTest 240 "$build/gpuTest"
      ;;
    sanitizer)
      sanitize memcheck sanitizer
      sanitize initcheck sanitizer
      sanitize synccheck short --num-cuda-barriers 16384 # its table is small
      sanitize racecheck short                           # ten times slower than the others
      ;;
    tune)
      LINES_SHOWN=14 step tune 240 "$build/bench" --geometries all --json "$out/tune.json" \
        --shapes 28672x8192,8192x8192,4096x14336,4096x11008,11008x4096,14336x4096,4096x4096,1024x4096
      ;;
    bench)
      LINES_SHOWN=38 step bench 170 "$build/bench" --n 1,2,4,8,16,32,64 \
        --sparsity 40,50,60,70,80 --json "$out/bench.json" --md "$out/bench.md"
      ;;
    masks)
      LINES_SHOWN=40 step masks 60 "$build/bench" --n 8 --sparsity 50,60 \
        --shapes 4096x4096,11008x4096,4096x11008,8192x8192,1024x4096 \
        --pattern random,wanda,columns,2:4,strips --json "$out/masks.json"
      ;;
    bf16)
      LINES_SHOWN=14 step bf16 60 "$build/bench" --dtype bf16 --json "$out/bf16.json" \
        --shapes 28672x8192,8192x8192,4096x14336,4096x11008,11008x4096,14336x4096,4096x4096,1024x4096
      ;;
    torch)
      LINES_SHOWN=12 step torch 60 python3 "$here/bench/torchBaseline.py" \
        28672x8192,8192x8192,11008x4096,4096x4096,1024x4096 8,16
      ;;
    *) echo "gpu.sh: no step $what" && failed=1 ;;
  esac
done
exit $failed
