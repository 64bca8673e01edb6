/** A model that can be run, on any backend. */
import { SpInferError } from "../core/errors.ts";
import type { Decoder } from "../model/architectures/defineArchitecture.ts";
import type { Backend, LoadedPart, ReadyHead } from "./backend.ts";
import type { ModelFacts, RunnableBlock, RunnableModel, WeightSource } from "./engine.ts";
import { loadWeights } from "./loadWeights.ts";
import { runPart } from "./typescript/backend.ts";

export function runnableModel(
  family: string,
  decoder: Decoder,
  source: WeightSource,
  backend: Backend,
): RunnableModel {
  const { blocks, hidden, vocabulary, positions } = decoder;
  const { takesHalves } = backend;
  const facts: ModelFacts = { family, blocks, hidden, vocabulary, positions };
  let embedding: Promise<LoadedPart> | undefined;
  let head: Promise<ReadyHead> | undefined;
  const loadHead = async (): Promise<ReadyHead> =>
    backend.head(await loadWeights(decoder.head, source, { takesHalves }), hidden, vocabulary);
  const checkFinite = async (values: Float32Array, where: string): Promise<void> => {
    const finite = (await backend.allFinite?.(values)) ?? allFinite(values);
    if (!finite) throw notFinite(where);
  };

  return {
    engine: backend.name,
    instructions: backend.instructions,
    facts,
    async embed(ids, length) {
      checkWindows(ids.length, length, decoder);
      checkIds(ids, vocabulary);
      // of a table few rows are read: those are widened
      embedding ??= loadWeights(decoder.embed, source, { takesHalves: true });
      const loaded = await embedding;
      const input = { rows: ids.length, columns: 1, values: Float32Array.from(ids) };
      return runPart(loaded, input, length).values;
    },
    async openBlock(index, replaced): Promise<RunnableBlock> {
      if (!Number.isInteger(index) || index < 0 || index >= blocks) {
        throw new SpInferError("E_OPTION", `there is no block ${index}`, {
          expected: `0 to ${blocks - 1}`,
        });
      }
      // the table of embeddings may be larger than a block; whoever opens blocks is done with it
      embedding = undefined;
      const loaded = await loadWeights(decoder.block(index), source, { replaced, takesHalves });
      const block = await backend.block(loaded, hidden);
      return {
        async run(states, length, observe = "none", sums = new Map()) {
          checkWindows(states.length / hidden, length, decoder);
          const made = await block.run(states, length, observe, sums);
          await checkFinite(made.hidden, `block ${index}`);
          return made;
        },
        async observe(states, length, observe, sums) {
          checkWindows(states.length / hidden, length, decoder);
          await block.observe(states, length, observe, sums);
        },
        close: () => block.close(),
      };
    },
    async score(states, targets) {
      if (states.length !== targets.length * hidden) {
        throw new SpInferError("E_INTERNAL", "score needs one target a row of hidden states");
      }
      for (const target of targets) {
        if (target !== -1) checkId(target, vocabulary);
      }
      head ??= loadHead();
      const losses = await (await head).score(states, targets);
      for (let row = 0; row < targets.length; row++) {
        if (targets[row] !== -1 && !Number.isFinite(losses[row]!)) {
          throw notFinite("the logits");
        }
      }
      return losses;
    },
    async logits(states) {
      head ??= loadHead();
      const logits = await (await head).logits(states);
      await checkFinite(logits, "the logits");
      return logits;
    },
    async close() {
      embedding = undefined;
      const made = await head?.catch(() => undefined); // whoever asked for it has been told
      await made?.close();
      head = undefined;
      await backend.close();
    },
  };
}

function checkWindows(tokens: number, length: number, decoder: Decoder): void {
  if (!Number.isInteger(length) || length < 1 || tokens === 0 || tokens % length !== 0) {
    throw new SpInferError(
      "E_INTERNAL",
      `${tokens} tokens are no whole number of windows of ${length}`,
    );
  }
  if (!decoder.positionTable || length <= decoder.positions) return;
  throw new SpInferError("E_OPTION", `windows of ${length} tokens are too long for this model`, {
    found: `${length} tokens`,
    expected: `at most ${decoder.positions}, for which it has positions`,
    hint: `use windows of ${decoder.positions} tokens (--ctx ${decoder.positions})`,
  });
}

function checkIds(ids: Int32Array, vocabulary: number): void {
  for (const id of ids) checkId(id, vocabulary);
}

function checkId(id: number, vocabulary: number): void {
  if (id >= 0 && id < vocabulary) return;
  throw new SpInferError("E_TOKEN_ID", `token id ${id} is outside the vocabulary`, {
    found: `id ${id}`,
    expected: `0 to ${vocabulary - 1} (vocab_size ${vocabulary})`,
    hint: "use the tokenizer.json that belongs to the weights",
  });
}

/**
 * One pass over the values: a sum of zeros stays 0, of NaN or infinity times 0 does not. Four sums, as
 * each addition waits for the one before it.
 */
function allFinite(values: Float32Array): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < values.length; i += 4) {
    a += values[i]! * 0;
    b += values[i + 1]! * 0;
    c += values[i + 2]! * 0;
    d += values[i + 3]! * 0;
  }
  for (; i < values.length; i++) a += values[i]! * 0;
  return a + b + c + d === 0;
}

function notFinite(where: string): SpInferError {
  return new SpInferError("E_ACTIVATIONS", `NaN or infinite numbers after ${where}`, {
    found: `after ${where}`,
    expected: "finite numbers",
    hint: "look for non-finite weights with spinfer inspect MODEL --layers",
  });
}
