/**
 * Verify finds every flipped bit, cut, exchange and loss, in any file of a checkpoint, and says where.
 * Each damage is done to the files on disk and looked for by the whole of verifyCheckpoint.
 * SPINFER_FLIPS and SPINFER_DAMAGES set how many.
 */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { executeRecipe } from "../../src/pipeline/execute.ts";
import { type VerifyReport, verifyCheckpoint } from "../../src/pipeline/verify.ts";
import { fileBytes, fileFolder, headerOf, llama, writeModel } from "../helpers/models.ts";
import { createRandom, type Random } from "../helpers/random.ts";
import { pruneRecipe } from "../pipeline/recipes.ts";

const FLIPS = Number(process.env["SPINFER_FLIPS"] ?? 10_000);
const DAMAGES = Number(process.env["SPINFER_DAMAGES"] ?? 1_000);
const SEED = Number(process.env["SPINFER_SEED"] ?? 1);
const MANIFEST = "spinfer_manifest.json";

const folder = fileFolder();
const checkpoint = join(folder, "out");
let files: { name: string; bytes: number }[] = [];
/** Where in which file the bytes of which tensor lie. */
let extents: { file: string; begin: number; end: number; tensor: string }[] = [];

beforeAll(async () => {
  const model = writeModel(join(folder, "model"), llama({ layers: 1, hidden: 32, inner: 64 }));
  await executeRecipe(model, checkpoint, pruneRecipe({}, { maxShardBytes: 16_000 }));
  files = readdirSync(checkpoint).map((name) => ({
    name,
    bytes: fileBytes(join(checkpoint, name)),
  }));
  extents = files
    .filter(({ name }) => name.endsWith(".safetensors"))
    .flatMap(({ name: file }) => {
      const { dataBegin, entries } = headerOf(join(checkpoint, file));
      return Object.entries(entries).map(
        ([
          tensor,
          {
            data_offsets: [begin, end],
          },
        ]) => ({
          file,
          begin: dataBegin + begin,
          end: dataBegin + end,
          tensor: tensor.replace(/_meta$/, ""),
        }),
      );
    });
  expect(files.length).toBeGreaterThanOrEqual(8);
  expect((await verify()).findings).toEqual([]);
});

function verify(level: "structure" | "hash" = "hash"): Promise<VerifyReport> {
  return verifyCheckpoint(checkpoint, { level, threads: 0 });
}

/** A byte of the checkpoint, all equally likely. */
function anyByte(random: Random): { file: string; offset: number } {
  let at = random.int(files.reduce((sum, { bytes }) => sum + bytes, 0));
  for (const { name, bytes } of files) {
    if (at < bytes) return { file: name, offset: at };
    at -= bytes;
  }
  throw new Error("unreachable");
}

/** Changes one byte in place and returns what it was. */
function changeByte(file: string, offset: number, change: (byte: number) => number): number {
  const fd = openSync(join(checkpoint, file), "r+");
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, offset);
  const before = byte[0]!;
  byte[0] = change(before);
  writeSync(fd, byte, 0, 1, offset);
  closeSync(fd);
  return before;
}

function expectFile(report: VerifyReport, file: string, what: string): void {
  expect(report.ok, what).toBe(false);
  const paths = report.findings.map(({ path }) => path);
  expect(paths, what).toContain(join(checkpoint, file));
  for (const { code } of report.findings) expect(code, what).not.toBe("E_INTERNAL");
}

function tensorAt(file: string, offset: number): string | undefined {
  return extents.find((part) => part.file === file && part.begin <= offset && offset < part.end)
    ?.tensor;
}

describe("TB-14 flipped bits", () => {
  test(`all of ${FLIPS} random ones are found, in the right file and the right tensor`, async () => {
    const random = createRandom(SEED);
    const codes = new Map<string, number>();
    let inTensors = 0;
    for (let i = 0; i < FLIPS; i++) {
      const { file, offset } = anyByte(random);
      const bit = random.int(8);
      const what = `seed ${SEED}, flip ${i}: ${file}, byte ${offset}, bit ${bit}`;
      const before = changeByte(file, offset, (byte) => byte ^ (1 << bit));
      const report = await verify();
      changeByte(file, offset, () => before);
      expectFile(report, file, what);
      const tensor = tensorAt(file, offset);
      if (tensor !== undefined) {
        inTensors++;
        expect(
          report.findings.map((finding) => finding.tensor),
          what,
        ).toContain(tensor);
      }
      for (const { code } of report.findings) codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    console.log(`${FLIPS} flips, ${inTensors} in tensor data;`, Object.fromEntries(codes));
    expect((await verify()).ok).toBe(true);
  });

  test("in packed weights they are found without the manifest too", async () => {
    const random = createRandom(SEED + 1);
    const { archive } = await import("../../src/pipeline/openModel.ts").then(({ openModel }) =>
      openModel(checkpoint),
    );
    const packed = archive.entries.filter(({ encoding }) => encoding !== undefined);
    for (let i = 0; i < FLIPS / 20; i++) {
      const { file, begin, end } = random.pick(random.pick(packed).extents);
      const offset = begin + random.int(end - begin);
      const bit = random.int(8);
      const before = changeByte(file, offset, (byte) => byte ^ (1 << bit));
      const report = await verify("structure");
      changeByte(file, offset, () => before);
      expectStructure(report, file, tensorAt(file, offset)!, `${file}, byte ${offset}, bit ${bit}`);
    }
  });
});

/** A flip in the first bytes of a weight_meta is found when the checkpoint is opened. */
function expectStructure(report: VerifyReport, file: string, tensor: string, what: string): void {
  expect(report.ok, what).toBe(false);
  const [finding] = report.findings;
  expect(finding?.path?.endsWith(file), what).toBe(true);
  expect(finding?.tensor?.replace(/_meta$/, ""), what).toBe(tensor);
}

interface Damage {
  readonly what: string;
  /** Files of which at least one must be named. */
  readonly files: readonly string[];
  /** Tensors that must all be named. */
  readonly tensors?: readonly string[];
}

const DAMAGE_KINDS: readonly ((random: Random) => Damage)[] = [
  cut,
  append,
  exchangeFiles,
  exchangeTensors,
  lose,
  blank,
];

describe("TB-15 other damage", () => {
  test(`all of ${DAMAGES} random cuts, exchanges and losses are found`, async () => {
    const random = createRandom(SEED + 2);
    const intact = new Map(files.map(({ name }) => [name, readFileSync(join(checkpoint, name))]));
    for (let i = 0; i < DAMAGES; i++) {
      const { what, files: damaged, tensors = [] } = DAMAGE_KINDS[i % DAMAGE_KINDS.length]!(random);
      const report = await verify();
      for (const name of damaged) writeFileSync(join(checkpoint, name), intact.get(name)!);
      const label = `seed ${SEED}, ${i}: ${what}`;
      expect(report.ok, label).toBe(false);
      const paths = report.findings.map(({ path }) => path ?? "");
      expect(
        paths.some((path) =>
          damaged.some(
            (name) => path === join(checkpoint, name) || (name === MANIFEST && path === checkpoint),
          ),
        ),
        `${label}: ${paths}`,
      ).toBe(true);
      const named = report.findings.map((finding) => finding.tensor);
      // what does not open is looked at no further than to its first fault
      const opened = report.checks.some(
        ({ name, status }) => name === "headers" && status === "passed",
      );
      for (const tensor of opened ? tensors : []) expect(named, label).toContain(tensor);
    }
    expect((await verify()).findings).toEqual([]);
  });
});

function cut(random: Random): Damage {
  const { name, bytes } = random.pick(files);
  const left = random.int(bytes);
  truncateSync(join(checkpoint, name), left);
  return { what: `${name} cut to ${left} of ${bytes} bytes`, files: [name] };
}

function append(random: Random): Damage {
  const { name } = random.pick(files);
  const tail = random.pick(["\0", "\n", "PK\x05\x06", "}"]);
  writeFileSync(join(checkpoint, name), tail, { flag: "a" });
  return { what: `${name} with ${JSON.stringify(tail)} behind it`, files: [name] };
}

function exchangeFiles(random: Random): Damage {
  const first = random.pick(files).name;
  const second = random.pick(files.filter(({ name }) => name !== first)).name;
  const [a, b, aside] = [first, second, "aside"].map((name) => join(checkpoint, name));
  renameSync(a!, aside!);
  renameSync(b!, a!);
  renameSync(aside!, b!);
  return { what: `${first} and ${second} exchanged`, files: [first, second] };
}

/** Two tensors of the same size change places: every value is one that was there before. */
function exchangeTensors(random: Random): Damage {
  for (;;) {
    const a = random.pick(extents);
    const twins = extents.filter(
      (b) => b.end - b.begin === a.end - a.begin && b.tensor !== a.tensor,
    );
    if (twins.length === 0) continue;
    const b = random.pick(twins);
    const [first, second] = [a, b].map(({ file, begin, end }) =>
      readFileSync(join(checkpoint, file)).subarray(begin, end),
    );
    if (first!.equals(second!)) continue;
    for (const [{ file, begin }, bytes] of [
      [a, second!],
      [b, first!],
    ] as const) {
      const fd = openSync(join(checkpoint, file), "r+");
      writeSync(fd, bytes, 0, bytes.length, begin);
      closeSync(fd);
    }
    return {
      what: `${a.tensor} and ${b.tensor} exchanged`,
      files: [a.file, b.file],
      tensors: [a.tensor, b.tensor],
    };
  }
}

function lose(random: Random): Damage {
  const { name } = random.pick(files);
  rmSync(join(checkpoint, name));
  return { what: `${name} lost`, files: [name] };
}

/** Zeros where bytes were, as a disk gives back what it never wrote. */
function blank(random: Random): Damage {
  for (;;) {
    const { name, bytes } = random.pick(files);
    const begin = random.int(bytes);
    const length = Math.min(bytes - begin, 1 + random.int(4096));
    const path = join(checkpoint, name);
    const content = readFileSync(path);
    if (content.subarray(begin, begin + length).every((byte) => byte === 0)) continue;
    writeFileSync(path, content.fill(0, begin, begin + length));
    return { what: `${name}: ${length} zeros from byte ${begin}`, files: [name] };
  }
}
