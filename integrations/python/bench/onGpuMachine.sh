#!/usr/bin/env bash
# What of integrations needs a GPU, on a machine that has Python, torch and transformers but neither
# Node nor network:
#   onGpuMachine.sh [tests] [example] [short] [model:NAME] [stock:NAME] [smollm2]
#
# Needs kernels/build/libspinfer.so and dist, or the archive of scripts/packForGpu.mjs in .gpu, which
# has them and Node. Wheels in .whl (pytest, transformers, …) are used when they are there. Logs and
# tables go to $OUT (default: kernels/build/results). GLUE=plain leaves torch.compile out.
#
#   tests       integrations/python/tests/test_gpu.py
#   example     integrations/c/example.c with the GPU's product
#   short       spinfer-bench-hf on a model of the 7B shape cut to 4 layers
#   model:NAME  spinfer-bench-hf on llama-2-7b, llama-3-8b, llama-2-13b, at 50, 60 and 70 %
#   stock:NAME  the same at 60 % by transformers' own modules and cache
#   smollm2     SmolLM2-135M pruned by Wanda to 50 %, with its perplexity and how long it loads, from
#               .gpu/smollm2: text.txt, and model.gguf in parts (split -b 48M model.gguf part-)
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
out=${OUT:-$root/kernels/build/results}
mkdir -p "$out"
failed=0

if [ ! -f "$root/kernels/build/libspinfer.so" ] || [ ! -f "$root/dist/src/cli/main.js" ]; then
  tar -xzf "$root/.gpu/pack.tar.gz" -C "$root" || exit 2
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

# step NAME SECONDS COMMAND...: runs with a limit, keeps the log, prints its end.
step() {
  local name=$1 limit=$2 started=$SECONDS status
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  [ $status -eq 0 ] || failed=1
  echo "== $name: status $status, $((SECONDS - started)) s"
  tail -n "${LINES_SHOWN:-15}" "$out/$name.log"
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
smollm2=$root/kernels/build/smollm2
smollm2() {
  local carried=$root/.gpu/smollm2 main=$root/dist/src/cli/main.js
  mkdir -p "$smollm2" && cd "$smollm2" || return 2
  cat "$carried"/part-* >model.gguf
  # calibrated on the first part of the text, judged on the rest
  head -c 200000 "$carried/text.txt" >calibration.txt
  tail -c +200001 "$carried/text.txt" >test.txt
  [ -d whole ] || node "$main" convert model.gguf -o whole --to dense || return
  [ -d sparse ] ||
    node "$main" prune whole -o sparse --sparsity 0.5 --method wanda --calib calibration.txt \
      --nsamples 8 --seqlen 256 || return
  [ -d dense ] || node "$main" convert sparse -o dense --to dense
}
export root smollm2
export -f demo example smollm2

# bench NAME SECONDS OPTION...: tables in $out/NAME.md and $out/NAME.json
bench() {
  local name=$1 limit=$2
  shift 2
  LINES_SHOWN=60 step "$name" "$limit" python3 -m spinfer.benchmark "$@" \
    --glue "${GLUE:-compiled}" \
    --json "$out/$name.json" --markdown "$out/$name.md"
}

python3 - <<'PYTHON'
import numpy, torch, transformers
print("torch", torch.__version__, "transformers", transformers.__version__, "numpy", numpy.__version__)
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")
PYTHON
for what in "${@:-tests}"; do
  case $what in
    tests)
      LINES_SHOWN=60 step pytest 330 python3 -m pytest -p no:cacheprovider -rs --durations=5 \
        "$root/integrations/python/tests/test_gpu.py"
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
    smollm2)
      step smollm2-prune 200 bash -c smollm2 &&
        bench hf-smollm2 200 --folder "$smollm2/sparse" --dense-folder "$smollm2/dense" \
          --text "$smollm2/test.txt" --engine fused,transformers
      ;;
    *) echo "onGpuMachine.sh: no step $what" && failed=1 ;;
  esac
done
exit $failed
