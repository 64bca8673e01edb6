#!/usr/bin/env bash
# What of integrations needs a GPU, on a machine that has Python, torch and transformers but neither
# Node nor network:
#   onGpuMachine.sh [tests[:EXPRESSION]] [example] [short] [model:NAME] [stock:NAME] [loading:NAME]
#                   [smollm2] [runtimes]
#
# Needs kernels/build/libspinfer.so, or the archive of scripts/packForGpu.mjs in .gpu, which has it,
# the command line and Node (for `example`). Wheels in .whl (pytest, transformers, …) are used when
# they are there. Tables go to $OUT (default: kernels/build/results), and all output to log.txt
# there. GLUE=plain leaves torch.compile out; MORE has more options for spinfer-bench-hf. DEVICE=cpu
# rehearses without a GPU what needs no kernels.
#
#   tests         integrations/python/tests/test_gpu.py, or those that pytest -k EXPRESSION chooses
#   example       integrations/c/example.c with the GPU's product
#   short         spinfer-bench-hf on a model of the 7B shape cut to 4 layers
#   model:NAME    spinfer-bench-hf on llama-2-7b, llama-3-8b, llama-2-13b, at 50, 60 and 70 %
#   stock:NAME    the same at 60 % by transformers' own modules and cache
#   loading:NAME  how long 8 layers of such a model load, packed at 60 % and dense
#   smollm2       spinfer-bench-hf on SmolLM2-135M, with its perplexity and how long it loads
#   runtimes      the rows of spinfer.runtimes that need a GPU, on the same
#
# The last two need .gpu/smollm2 with SmolLM2-135M-60 (spinfer prune --sparsity 0.6), with
# SmolLM2-135M-60-dense (that by spinfer convert --to dense) and with text.txt.
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
out=${OUT:-$root/kernels/build/results}
mkdir -p "$out"
failed=0

if [ -f "$root/.gpu/pack.tar.gz" ]; then
  tar -xzf "$root/.gpu/pack.tar.gz" -C "$root" || exit 2
fi
if [ ! -f "$root/kernels/build/libspinfer.so" ]; then
  echo "onGpuMachine.sh: no kernels/build/libspinfer.so" >&2
  exit 2
fi
export PATH=$root/bin:$PATH
export PYTHONPATH=$root/integrations/python/src${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false NO_COLOR=1
if compgen -G "$root/.whl/*.whl" >/dev/null; then
  site=$root/kernels/build/site
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$site" "$root"/.whl/*.whl || exit 2
  export PYTHONPATH=$PYTHONPATH:$site
fi

# step NAME SECONDS COMMAND...: runs with a limit, adds to the log, prints its end.
step() {
  local name=$1 limit=$2 started=$SECONDS status said
  shift 2
  said=$(mktemp)
  timeout "$limit" "$@" >"$said" 2>&1
  status=$?
  [ $status -eq 0 ] || failed=1
  echo "== $name: status $status, $((SECONDS - started)) s" | tee -a "$out/log.txt"
  tail -n "${LINES_SHOWN:-15}" "$said"
  cat "$said" >>"$out/log.txt"
  rm "$said"
  return $status
}

# A tile-bitmap folder of the demo model, made once.
demo() {
  [ -d "$root/kernels/build/demo-sparse" ] ||
    node "$root/dist/src/cli/main.js" prune "$root/models/demo" -o "$root/kernels/build/demo-sparse" \
      --sparsity 0.6
}

example() {
  local cuda=${CUDA_HOME:-/usr/local/cuda} built=$root/kernels/build/example
  demo &&
    gcc -std=c11 -O2 -DSPINFER_EXAMPLE_CUDA -I "$root/kernels/include" -I "$cuda/include" \
      "$root/integrations/c/example.c" -o "$built" -L "$root/kernels/build" -lspinfer \
      -L "$cuda/lib64" -lcudart -lm \
      -Wl,-rpath,"$root/kernels/build" -Wl,-rpath,"$cuda/lib64" &&
    "$built" "$root/kernels/build/demo-sparse"
}
export root
export -f demo example

smollm2=$root/.gpu/smollm2
packed=$smollm2/SmolLM2-135M-60
device=${DEVICE:-cuda}

# What is missing of .gpu/smollm2 is said before anything takes time.
has_smollm2() {
  local missing=0 part
  for part in "$packed/model.safetensors" "$packed-dense/model.safetensors" "$smollm2/text.txt"; do
    [ -f "$part" ] || { echo "onGpuMachine.sh: no $part" && missing=1; }
  done
  [ $missing -eq 0 ] || { failed=1 && return 1; }
}

# bench NAME SECONDS OPTION...: tables in $out/NAME.md and $out/NAME.json
bench() {
  local name=$1 limit=$2
  shift 2
  LINES_SHOWN=60 step "$name" "$limit" python3 -m spinfer.benchmark "$@" \
    --glue "${GLUE:-compiled}" --device "$device" ${MORE:-} \
    --json "$out/$name.json" --markdown "$out/$name.md"
}

python3 - <<'PYTHON'
import numpy, torch, transformers
print("torch", torch.__version__, "transformers", transformers.__version__, "numpy", numpy.__version__)
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")
PYTHON
for what in "${@:-tests}"; do
  case $what in
    tests | tests:*)
      chosen=${what#tests}
      LINES_SHOWN=60 step pytest 330 python3 -m pytest -p no:cacheprovider -rs --durations=5 \
        -k "${chosen#:}" "$root/integrations/python/tests/test_gpu.py"
      ;;
    example) step example 60 bash -c example ;;
    short)
      bench hf-short 200 --model llama-2-7b --layers 4 --sparsity 0.6 --batch 1,16 --tokens 32 \
        --rounds 3 --engine fused,transformers --crossover --kernels
      ;;
    model:*) bench "hf-${what#model:}" 400 --crossover --model "${what#model:}" --sparsity 0.5,0.6,0.7 ;;
    stock:*)
      bench "hf-stock-${what#stock:}" 280 --engine transformers --model "${what#stock:}" --sparsity 0.6
      ;;
    loading:*)
      # its decoding is only there to have a model
      GLUE=plain bench "hf-loading-${what#loading:}" 120 --model "${what#loading:}" --sparsity 0.6 \
        --layers 8 --loading 8 --loads 3 --scratch "${SCRATCH:-$root/kernels/build}" \
        --batch 1 --tokens 8 --rounds 1 --prefill 0 --energy 0
      ;;
    smollm2)
      # from where its names are short: they are part of the record
      has_smollm2 && cd "$smollm2" &&
        bench hf-smollm2 "${SECONDS_EACH:-150}" --folder SmolLM2-135M-60 \
          --dense-folder SmolLM2-135M-60-dense --text text.txt --energy 1
      ;;
    runtimes)
      has_smollm2 &&
        LINES_SHOWN=60 step runtimes "${SECONDS_EACH:-120}" python3 -m spinfer.runtimes \
          "$packed" "$packed-dense" --only 'PyTorch CUDA' --only torch.compile \
          --only 'transformers CUDA' --json "$out/runtimes.json" --markdown "$out/runtimes.md"
      ;;
    *) echo "onGpuMachine.sh: no step $what" && failed=1 ;;
  esac
done
exit $failed
