/**
 * Accept or reject, and what is read, against the Python package safetensors. Where we refuse
 * what it accepts, a deviation below says why; the other way round there is none.
 */
import { expect, it } from "vitest";
import { SpInferError } from "../../../src/core/errors.ts";
import { safetensorsMutant } from "../../fuzz/safetensorsInputs.ts";
import { describePython } from "../../helpers/python.ts";
import { createRandom } from "../../helpers/random.ts";
import { parseFile, rawSafetensors, u8 } from "../../helpers/safetensorsFile.ts";
import { type ReferenceTensor, referenceRead } from "./reference.ts";

interface Deviation {
  readonly name: string;
  readonly reason: string;
  readonly code: string;
  readonly message: RegExp;
}

const DEVIATIONS: readonly Deviation[] = [
  {
    name: "a name twice (ST-11)",
    reason: "the last one wins there, the first one elsewhere: two readers, two models",
    code: "E_ST_DUP_KEY",
    message: /" (?:of __metadata__ )?is there twice$/,
  },
  {
    name: "a number above 2^53 - 1 (ST-21)",
    reason: "a double would round it; only empty tensors can have it in a real file",
    code: "E_ST_JSON_TYPE",
    message: / holds \d{16,20}, not a whole number from 0 to 2\^53 - 1$/,
  },
  {
    name: "an empty tensor whose other dimensions overflow (ST-19)",
    reason: "whoever multiplies them in another order, or skips the 0, overflows",
    code: "E_ST_OVERFLOW",
    message: /of shape \[(?:\d+,)*0(?:,\d+)*\] is larger than 2\^53 - 1 bits$/,
  },
  {
    name: "more than 8 dimensions",
    reason: "no model has them; --limit dims=N raises the limit",
    code: "E_LIMIT",
    message: /dimensions, over the limit \(dims=8\)$/,
  },
  {
    name: "null for __metadata__ (ST-25)",
    reason: "the format wants an object of strings",
    code: "E_ST_JSON_TYPE",
    message: /: __metadata__ is of type null, not object$/,
  },
  {
    name: "an object for a dtype",
    reason: 'serde reads {"U8": null} as "U8"; the format has no such form',
    code: "E_ST_JSON_TYPE",
    message: /: the dtype of tensor ".*" is of type object, not string$/,
  },
  {
    name: "a list for an entry",
    reason: 'serde reads ["U8", [1], [0, 1]] as an entry; the format has no such form',
    code: "E_ST_JSON_TYPE",
    message: /: the entry of tensor ".*" is of type array, not object$/,
  },
  {
    name: "a name over 64 KiB",
    reason: "names go into tables and messages; --limit tensorNameBytes=N raises the limit",
    code: "E_LIMIT",
    message: /: a tensor name of \d+ bytes is over the limit/,
  },
];

const MUTANTS = 30_000;
const SEED = 7 * 2 ** 32;

type Verdict = readonly ReferenceTensor[] | SpInferError;

function ours(file: Uint8Array): Verdict {
  try {
    return parseFile(file)
      .entries.map(({ name, dtype, shape, begin, end }) => ({
        name,
        dtype,
        shape,
        data: Buffer.from(file.subarray(begin, end)).toString("hex"),
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (thrown) {
    if (thrown instanceof SpInferError) return thrown;
    throw thrown;
  }
}

/** The deviation that explains why we refuse what the reference accepts. */
function deviation(verdict: Verdict): string {
  if (!(verdict instanceof SpInferError)) return "none: we accept it";
  const found = DEVIATIONS.find(
    ({ code, message }) => code === verdict.code && message.test(verdict.message),
  );
  return found?.name ?? `none: ${verdict.code} ${verdict.message}`;
}

/** Throws when the verdicts differ and no deviation explains it; returns the one that does. */
function compare(
  file: Uint8Array,
  expected: readonly ReferenceTensor[] | undefined,
): string | undefined {
  const verdict = ours(file);
  const shown = Buffer.from(file).toString("base64");
  if (expected === undefined) {
    if (verdict instanceof SpInferError) return undefined;
    throw new Error(`refused there, accepted here: ${shown}`);
  }
  if (verdict instanceof SpInferError) {
    const name = deviation(verdict);
    if (name.startsWith("none")) throw new Error(`accepted there; ${name}: ${shown}`);
    return name;
  }
  expect(verdict, shown).toEqual(expected);
  return undefined;
}

describePython("safetensors against the Python package", () => {
  it(`agrees on ${MUTANTS} structure-aware mutants, listed deviations aside`, () => {
    const files = Array.from({ length: MUTANTS }, (_, i) =>
      safetensorsMutant(createRandom(SEED + i)),
    );
    const reference = referenceRead(files);
    expect(reference).toHaveLength(MUTANTS);
    const deviations = new Map<string, number>();
    for (const [i, file] of files.entries()) {
      const name = compare(file, reference[i]);
      if (name !== undefined) deviations.set(name, (deviations.get(name) ?? 0) + 1);
    }
    const accepted = reference.filter((tensors) => tensors !== undefined).length;
    expect(accepted / MUTANTS).toBeGreaterThan(0.25);
    console.info(
      `differential: ${MUTANTS} mutants, ${accepted} accepted by the reference; deviations:`,
      Object.fromEntries(deviations),
    );
  }, 120_000);

  const entry = '"dtype":"U8","shape":[1],"data_offsets":[0,1]';
  const overflow = `[0,${"4294967296,".repeat(5)}1]`;

  it.each([
    ["a name twice (ST-11)", `{"a":{${entry}},"a":{${entry}}}`, 1],
    [
      "a number above 2^53 - 1 (ST-21)",
      '{"a":{"dtype":"U8","shape":[0,9007199254740993],"data_offsets":[0,0]}}',
      0,
    ],
    [
      "an empty tensor whose other dimensions overflow (ST-19)",
      `{"a":{"dtype":"U8","shape":${overflow},"data_offsets":[0,0]}}`,
      0,
    ],
    [
      "more than 8 dimensions",
      '{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}',
      1,
    ],
    ["null for __metadata__ (ST-25)", '{"__metadata__":null}', 0],
    ["an object for a dtype", '{"a":{"dtype":{"U8":null},"shape":[1],"data_offsets":[0,1]}}', 1],
    ["a list for an entry", '{"a":["U8",[1],[0,1]]}', 1],
    ["a name over 64 KiB", JSON.stringify({ ["n".repeat(65_537)]: u8(0, 1) }), 1],
  ])("deviates on %s", (name, header, bytes) => {
    const file = rawSafetensors(header, bytes);
    expect(referenceRead([file])[0]).toBeDefined();
    expect(deviation(ours(file))).toBe(name);
  });

  it("lists no deviation that the cases above do not show", () => {
    expect(DEVIATIONS).toHaveLength(8);
  });

  it("agrees on what stands in unknown keys", () => {
    const values = [
      "1e308",
      "1e309",
      "1e-999",
      "9".repeat(400),
      '"\\ud800"',
      '"\\ud83d\\ude00"',
      "[".repeat(124) + "]".repeat(124),
      "[".repeat(125) + "]".repeat(125),
      "[".repeat(126) + "]".repeat(126),
      "[1,]",
      "NaN",
      "-",
      "-0.0e-0",
      "tru",
      '{"a":1,"a":2}',
    ];
    const files = values.map((value) => rawSafetensors(`{"a":{${entry},"x":${value}}}`, 1));
    const accepted = referenceRead(files).map((tensors) => tensors !== undefined);
    expect(files.map((file) => Array.isArray(ours(file)))).toEqual(accepted);
    expect(new Set(accepted).size).toBe(2);
  });
});
