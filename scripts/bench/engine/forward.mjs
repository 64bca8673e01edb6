/**
 * One forward pass over fixed tokens, scored; prints its figures as JSON, with the seconds of the native
 * engine's calls by their names.
 */
import { openRunnable } from "../../../dist/src/engine/index.js";
import { CpuContext } from "../../../dist/src/engine/native/context.js";
import { openModel } from "../../../dist/src/pipeline/openModel.js";
import { weightSource } from "../../../dist/src/pipeline/weightSource.js";

const [path, ...numbers] = process.argv.slice(2);
const engine = numbers.pop();
const [length, windows, threads] = numbers.map(Number);
const calls = {};
timeCalls();
const opened = await openModel(path);
const model = await openRunnable(opened.archive.config, weightSource(opened), {
  prefer: engine,
  threads,
});
const ids = tokens(length * windows, model.facts.vocabulary);
const targets = ids.map((_, i) => ((i + 1) % length === 0 ? -1 : ids[i + 1]));

const before = process.cpuUsage();
const begin = performance.now();
let hidden = await model.embed(ids, length);
for (let index = 0; index < model.facts.blocks; index++) {
  const block = await model.openBlock(index);
  ({ hidden } = await block.run(hidden, length));
  await block.close();
}
const losses = await model.score(hidden, targets);
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(before);
const scored = losses.filter((loss) => !Number.isNaN(loss));
console.log(
  JSON.stringify({
    engine: model.engine,
    seconds,
    calls,
    processorSeconds: (user + system) / 1e6,
    tokens: ids.length,
    loss: scored.reduce((sum, loss) => sum + loss, 0) / scored.length,
    megabytes: process.resourceUsage().maxRSS / 1024,
  }),
);
await model.close();

/** Whatever the engine asks of its library is timed on the way. */
function timeCalls() {
  const { exclusive } = CpuContext.prototype;
  const timed =
    (call, nameOf) =>
    async (...given) => {
      const started = performance.now();
      try {
        return await call(...given);
      } finally {
        const name = nameOf(given);
        calls[name] = (calls[name] ?? 0) + (performance.now() - started) / 1000;
      }
    };
  CpuContext.prototype.exclusive = function (work) {
    return exclusive.call(this, (cpu) =>
      work({
        ...cpu,
        call: timed(cpu.call, ([name]) => name.replace("spinfer_cpu_", "")),
        packWeight: timed(cpu.packWeight, () => "pack_weight"),
      }),
    );
  };
}

/** The same in torchForward.py. */
function tokens(count, vocabulary) {
  let state = 1;
  return Int32Array.from({ length: count }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return state % vocabulary;
  });
}
