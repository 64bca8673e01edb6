#!/usr/bin/env bash
# The tests and measurements that need a GPU:
#   gpu.sh [test] [damaged] [sanitizer] [node] [bench] [masks] [bf16] [energy] [tails] [torch]
#
# Needs kernels/build (npm run build:kernels -- --tests), dist (npm run build) and node; where there
# is no node, the archive of scripts/packForGpu.mjs in .gpu has all three. Logs and tables go to
# $OUT (default: kernels/build/results); the closing lines are printed.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/kernels/build
out=${OUT:-$build/results}
mkdir -p "$out"
failed=0

if [ -f "$root/.gpu/pack.tar.gz" ] && ! command -v node >/dev/null; then
  tar -xzf "$root/.gpu/pack.tar.gz" -C "$root"
  export PATH=$root/bin:$PATH
fi
spinfer() { node "$root/dist/src/cli/main.js" "$@"; }

# Folders of CUDA's libraries: beside the toolkit, or in Python packages.
find_libraries() {
  find /usr/local/cuda*/ /usr/lib /opt \( -name 'libcublasLt.so.1[23]' -o -name 'libcusparseLt.so.0' \) \
    -printf '%h\n' 2>/dev/null | sort -u | paste -sd:
}
export SPINFER_CUDA_LIBRARIES=${SPINFER_CUDA_LIBRARIES:-$(find_libraries)}

eight=28672x8192,8192x8192,4096x14336,4096x11008,11008x4096,14336x4096,4096x4096,1024x4096

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
  step "$tool" 170 compute-sanitizer --tool "$tool" "$@" --error-exitcode 9 "$build/gpuTest" "$cases"
}

# bench NAME SECONDS OPTION...: JSON in $out/NAME.json
bench() {
  local name=$1 limit=$2
  shift 2
  step "$name" "$limit" bash -c '
    json=$1; shift
    node "$@" --json --progress none >"$json" && node "$0" "$json"' \
    "$root/scripts/showBench.mjs" "$out/$name.json" "$root/dist/src/cli/main.js" bench kernels "$@"
}

for what in "${@:-test}"; do
  case $what in
    test) step gpuTest 240 "$build/gpuTest" ;;
    damaged) step damaged 120 "$build/gpuTest" damaged ;;
    sanitizer)
      sanitize memcheck sanitizer
      sanitize initcheck sanitizer
      sanitize synccheck short --num-cuda-barriers 16384 # its table is small
      sanitize racecheck short                           # ten times slower than the others
      ;;
    node) LINES_SHOWN=12 step node 180 node --test --test-reporter=spec "$root"/test/gpu/*.test.mjs ;;
    bench) LINES_SHOWN=40 bench bench 300 --n 1,2,4,8,16,32,64 --sparsity 0.4,0.5,0.6,0.7,0.8 ;;
    masks)
      LINES_SHOWN=60 bench masks 90 --n 8 --sparsity 0.5,0.6 --skip-stream-limit \
        --shapes 4096x4096,11008x4096,4096x11008,8192x8192,1024x4096 \
        --mask random,wanda,columns,2:4,strips
      ;;
    bf16) LINES_SHOWN=14 bench bf16 60 --dtype bf16 --skip-stream-limit --shapes $eight ;;
    energy)
      LINES_SHOWN=14 bench energy 120 --energy 2 --two-four --skip-stream-limit --n 1,8 \
        --sparsity 0.5,0.6 --shapes 28672x8192,8192x8192,11008x4096,4096x4096
      ;;
    tails)
      LINES_SHOWN=20 bench tails 60 --n 8 --sparsity 0.6 --shapes \
        4096x4096,4096x4095,4096x4104,4095x4096,11008x4096,11008x4100,50257x4096
      ;;
    torch)
      LINES_SHOWN=12 step torch 60 python3 "$root/kernels/measure/torchBaseline.py" \
        28672x8192,8192x8192,11008x4096,4096x4096,1024x4096 8,16
      ;;
    *) echo "gpu.sh: no step $what" && failed=1 ;;
  esac
done
exit $failed
