/** What the built command line prints: every form of every result, held to its published shape. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commandLine/commands.ts";
import {
  progressSchema,
  resultSchema,
  rowSchema,
  warningLineSchema,
} from "../../src/cli/schemas/index.ts";
import { errorSchema } from "../../src/cli/schemas/parts.ts";
import { cli } from "../helpers/cli.ts";
import { fileFolder, llama, writeModel } from "../helpers/models.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const folder = fileFolder();
const options = { cwd: folder, timeoutMs: 60_000 };

beforeAll(() => {
  writeModel(join(folder, "model"), llama({ hidden: 128, inner: 320, dtype: "BF16" }));
  writeFileSync(
    join(folder, "recipe.yaml"),
    "version: 1\nmodel: model\nprune: { sparsity: 0.6, scope: row }\n",
  );
  writeFileSync(
    join(folder, "foreign.yaml"),
    'sparsity_stage:\n  pruning_modifiers:\n    MagnitudePruningModifier:\n      final_sparsity: 0.5\n      targets: ["Linear"]\n',
  );
  expect(cli(["prune", "model", "-o", "sparse", "--threads", "2"], options).status).toBe(0);
  cpSync(join(folder, "sparse"), join(folder, "damaged"), { recursive: true });
  const path = join(folder, "damaged/model.safetensors");
  const bytes = readFileSync(path);
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  writeFileSync(path, bytes);
});

/** What needs a GPU: its forms are tested over a made-up one (test/pipeline/bench), and in test/gpu. */
const NEED_A_GPU: ReadonlySet<string> = new Set(["bench kernels"]);
const CALIBRATE = `calibrate ${DEMO} --calib ${DEMO}/heldout.txt --nsamples 1 --seqlen 32`;

describe("--json", () => {
  const lines: readonly (readonly [string, string, number])[] = [
    ["inspect", "inspect model", 0],
    ["inspect", "inspect sparse --layers --stats --hash", 0],
    ["inspect", "inspect sparse --tensors *.down_proj", 0],
    ["plan", "plan model --sparsity 0.6", 0],
    ["plan", "plan model --recipe recipe.yaml --to dense", 0],
    ["prune", "prune model -o json-pruned --verify full", 0],
    ["prune", "prune model --pattern 2:4 --dry-run", 0],
    ["convert", "convert sparse -o json-dense --to dense --verify none", 0],
    ["convert", "convert sparse --to dense --dry-run", 0],
    ["verify", "verify sparse --level full", 0],
    ["verify", "verify damaged", 4],
    ["eval", `eval ${DEMO} --max-windows 2 --ctx 64`, 0],
    ["eval", `eval ${DEMO} --max-windows 1 --ctx 64 --base ${DEMO} --gate agreement>=99%`, 0],
    ["eval", `eval ${DEMO} --max-windows 1 --ctx 64 --gate ppl<=1`, 4],
    ["calibrate", `${CALIBRATE} -o json-statistics.safetensors`, 0],
    ["tune", "tune model --sparsity 0.6 --plan-only", 0],
    ["sweep", `sweep ${DEMO} --sparsity 0.5 --max-windows 1 --ctx 64 -o json-sweep`, 0],
    ["report", "report json-sweep/sweep.json -o json-report.html", 0],
    ["run", "run recipe.yaml -o json-run", 0],
    ["run", "run recipe.yaml --dry-run", 0],
    ["recipe init", "recipe init", 0],
    ["recipe init", "recipe init two-four -o json.yaml", 0],
    ["recipe import", "recipe import foreign.yaml", 0],
    ["recipe validate", "recipe validate recipe.yaml", 0],
    ["recipe show", "recipe show recipe.yaml --sparsity 0.7", 0],
    ["doctor", "doctor", 0],
    ["help", "help E_HASH", 0],
    ["help", "help prune", 0],
    ["version", "version", 0],
    ["completion", "completion zsh", 0],
  ];

  it("is tested for every command", () => {
    expect(new Set(lines.map(([command]) => command))).toEqual(
      new Set(COMMANDS.map(({ name }) => name).filter((name) => !NEED_A_GPU.has(name))),
    );
  });

  it.each(lines)("%s: spinfer %s", (command, line, status) => {
    const result = cli([...line.split(" "), "--json"], options);
    expect(result.status, result.stderr).toBe(status);
    expect(result.stdout.endsWith("}\n")).toBe(true);
    const parsed = JSON.parse(result.stdout);
    expect(resultSchema.parse(parsed)).toEqual(parsed);
    expect(parsed.command).toBe(command);
    expect(parsed.ok).toBe(status === 0);
  });

  it("ends stderr with the error when something fails", () => {
    for (const [line, code, exit] of [
      ["inspect nowhere", "E_MODEL_NOT_FOUND", 3],
      ["verify damaged", "E_HASH", 4],
      ["prune model -o sparse", "E_OUTPUT_EXISTS", 10],
      ["run nowhere.yaml", "E_IO", 5],
      ["bench kernels --shapes 1", "E_OPTION", 2],
    ] as const) {
      const { status, stderr } = cli([...line.split(" "), "--json"], options);
      const record = errorSchema.parse(JSON.parse(stderr.trimEnd().split("\n").at(-1)!));
      expect([record.code, record.exit, status]).toEqual([code, exit, exit]);
    }
  });

  it("lists warnings, which are on stderr too", () => {
    const { stdout, stderr } = cli(
      ["run", "recipe.yaml", "--sparsity", "0.7", "--dry-run", "--json"],
      options,
    );
    const message = "--sparsity 0.7 replaces sparsity 0.6 of recipe.yaml";
    expect(JSON.parse(stdout).warnings).toContainEqual({ code: "W_OVERRIDDEN", message });
    expect(stderr).toContain(`warning: ${message}\n`);
  });

  it("shows progress as JSON lines when asked to", () => {
    const { status, stderr } = cli(
      "prune model -o json-progress --sparsity 0.7 --progress json -q --recipe recipe.yaml".split(
        " ",
      ),
      options,
    );
    expect(status).toBe(0);
    const records = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const progress = records.filter(({ schema }) => schema === "spinfer.progress/1");
    const others = records.filter(({ schema }) => schema !== "spinfer.progress/1");
    for (const record of progress) progressSchema.parse(record);
    for (const record of others) warningLineSchema.parse(record);
    expect(others.length).toBeGreaterThan(0);
    for (const phase of ["hash", "prune", "write", "verify"]) {
      const last = progress.findLast((record) => record.phase === phase);
      expect([phase, last?.done]).toEqual([phase, last?.total]);
    }
  });
});

describe("other forms", () => {
  const tables = COMMANDS.filter(({ name, table }) => table && !NEED_A_GPU.has(name)).map(
    ({ name }) => name,
  );
  const lines: Readonly<Record<string, string>> = {
    inspect: "inspect sparse --tensors",
    plan: "plan model",
    prune: "prune model --dry-run",
    convert: "convert sparse --to dense --dry-run",
    verify: "verify sparse",
    eval: `eval ${DEMO} --max-windows 1 --ctx 64 --base ${DEMO}`,
    sweep: `sweep ${DEMO} --sparsity 0.5 --max-windows 1 --ctx 64 -o json-sweep`,
    run: "run recipe.yaml --dry-run",
    calibrate: `${CALIBRATE} -o statistics.safetensors --force`,
    tune: "tune model --plan-only",
    doctor: "doctor",
  };

  it.each(tables)("%s has the same rows as CSV and as JSON lines", (name) => {
    const words = lines[name]!.split(" ");
    const csv = cli([...words, "--format", "csv"], options)
      .stdout.trimEnd()
      .split("\n");
    const rows = cli([...words, "--format", "jsonl"], options)
      .stdout.trimEnd()
      .split("\n");
    expect(rows.length).toBe(csv.length - 1);
    const parsed = rows.map((row) => rowSchema.parse(JSON.parse(row)));
    const { schema: _, command, ...cells } = parsed[0]!;
    expect(command).toBe(name);
    expect(Object.keys(cells).join(",")).toBe(csv[0]);
  });

  it("prune as CSV is one row", () => {
    const { stdout } = cli("prune model -o csv --format csv".split(" "), options);
    const [heads, cells, ...more] = stdout.trimEnd().split("\n");
    expect(more).toEqual([]);
    expect(heads).toMatch(/^output,format,tensors,pruned,packed,sparsity,bytes_in,bytes_out,/);
    expect(cells).toMatch(/csv,tile-bitmap,21,14,14,0.5,/);
  });

  it("--quiet prints the one thing that a script needs, and nothing on stderr", () => {
    const { stdout, stderr } = cli("prune model -o quiet -q".split(" "), options);
    expect([stdout, stderr]).toEqual([`${join(folder, "quiet")}\n`, ""]);
    expect(cli(["verify", "quiet", "-q"], options)).toMatchObject({ status: 0, stdout: "" });
    expect(cli(["verify", "damaged", "-q"], options)).toMatchObject({ status: 4, stdout: "" });
  });

  it("Markdown has a table that can be pasted", () => {
    const { stdout } = cli(["inspect", "sparse", "--format", "md"], options);
    expect(stdout).toContain(
      "| role | tensors | parameters | bytes | zeros |\n|---|---:|---:|---:|---:|\n",
    );
  });
});

describe("what people see", () => {
  const plain = (line: string): string =>
    cli(line.split(" "), options)
      .stdout.replace(/\d+(?:\.\d+)? (?:ms|s)\b/g, "TIME")
      .replace(/[0-9a-f]{64}/g, "HASH")
      .replace(/[\d.]+ GB free/g, "FREE")
      .replace(/about \d+ MB with \d+ threads?/g, "MEMORY");

  it("inspect: a header, and a table by role", () => {
    expect(plain("inspect model")).toMatchInlineSnapshot(`
      "model  LlamaForCausalLM · safetensors

        parameters  402 k
        dtypes      BF16 ×21
        size        804 kB in 1 file

        role       tensors  parameters    bytes
        embedding        1      12.3 k  24.6 kB
        norm             5         640  1.28 kB
        linear          14       377 k   754 kB
        head             1      12.3 k  24.6 kB
      "
    `);
  });

  it("inspect --layers of a packed checkpoint: how sparse each block is", () => {
    expect(plain("inspect sparse --layers")).toMatchInlineSnapshot(`
      "sparse  LlamaForCausalLM · tile-bitmap

        parameters  402 k
        dtypes      BF16 ×21
        size        478 kB in 1 file, 804 kB if dense
        zeros       50 % of the weights looked at

        block  tensors  parameters   bytes  zeros
            0        9       189 k  214 kB   50 %
            1        9       189 k  214 kB   50 %
      "
    `);
  });

  it("plan: what is pruned, what is kept and why, and what it takes", () => {
    expect(plain("plan model --sparsity 0.6 --threads 2")).toMatchInlineSnapshot(`
      "Plan  magnitude 60 % · 14 of 21 tensors pruned · model (safetensors) → tile-bitmap

        zeros   60 % of 377 k weights in pruned tensors; 402 k parameters in all
        size    804 kB → 402 kB (50 % smaller) · BF16 · 1 file
        memory  MEMORY
        disk    needs about 407 kB, FREE ✓
        time    about TIME, disk permitting

        tensors                                             shape                 before    after  why
        model.embed_tokens.weight                           96×128   kept        24.6 kB  24.6 kB  an embedding
        model.layers.*.input_layernorm.weight           ×2  128      kept          512 B    512 B  a norm
        model.layers.*.self_attn.q_proj.weight          ×2  128×128  prune 60 %  65.5 kB  30.6 kB
        model.layers.*.self_attn.k_proj.weight          ×2  128×128  prune 60 %  65.5 kB  30.6 kB
        model.layers.*.self_attn.v_proj.weight          ×2  128×128  prune 60 %  65.5 kB  30.6 kB
        model.layers.*.self_attn.o_proj.weight          ×2  128×128  prune 60 %  65.5 kB  30.6 kB
        model.layers.*.post_attention_layernorm.weight  ×2  128      kept          512 B    512 B  a norm
        model.layers.*.mlp.gate_proj.weight             ×2  320×128  prune 60 %   164 kB  76.4 kB
        model.layers.*.mlp.up_proj.weight               ×2  320×128  prune 60 %   164 kB  76.4 kB
        model.layers.*.mlp.down_proj.weight             ×2  128×320  prune 60 %   164 kB  76.4 kB
        model.norm.weight                                   128      kept          256 B    256 B  a norm
        lm_head.weight                                      96×128   kept        24.6 kB  24.6 kB  the output head

      Nothing was written. To do it: spinfer prune model -o DIR, with the same options.
      "
    `);
  });

  it("--dry-run says that nothing was written, and writes nothing", () => {
    expect(plain("prune model -o dry --dry-run")).toMatch(
      /\nNothing was written\. Remove --dry-run to start\.\n$/,
    );
    expect(existsSync(join(folder, "dry"))).toBe(false);
  });

  it("prune: what came out, and what to do next", () => {
    expect(plain("prune model -o pruned")).toMatchInlineSnapshot(`
      "✓ wrote pruned (483 kB, 40.1 % smaller) in TIME
        14 of 21 tensors packed without their zeros · 50 % of their weights are zero
        verify ✓ level hash in TIME
        manifest sha256 HASH

        next: spinfer verify pruned --level full
              spinfer inspect pruned --layers
      "
    `);
  });

  it("prune --to dense: the same size, and why", () => {
    expect(plain("prune model -o pruned-dense --to dense --verify none")).toMatchInlineSnapshot(`
      "✓ wrote pruned-dense (806 kB, the same size) in TIME
        14 of 21 tensors pruned, stored dense · 50 % of their weights are zero
        not smaller: dense files store zeros too; --to tile-bitmap leaves them out
        not verified (--verify none)
        manifest sha256 HASH

        next: spinfer verify pruned-dense --level full
              spinfer inspect pruned-dense
      "
    `);
  });

  it("prune that saves nothing says so", () => {
    expect(plain("prune model -o nothing --sparsity 0.01")).toContain(
      "none of 21 tensors was packed: none would be smaller",
    );
    expect(plain("plan model --sparsity 0.01")).toContain(
      "Nothing would be saved: at this sparsity the bitmaps take what the zeros free.",
    );
  });

  it("verify: each check", () => {
    expect(plain("verify sparse --level full")).toMatchInlineSnapshot(`
      "     check               items
        ✓  manifest                1
        ✓  headers                 1
        ✓  packed weights         14
        ✓  files                   5
        ✓  tensors                21
        ✓  source files            1
        ✓  recomputed weights     21

      ✓ sparse is what it should be (structure + hashes + every weight recomputed from the source in TIME)
      "
    `);
  });

  it("verify of a damaged checkpoint: what and where", () => {
    const text = plain("verify damaged");
    expect(text).toMatch(/^ {5}check .*\n {2}✓ {2}manifest +1\n/);
    expect(text).toMatch(/ {2}✗ {2}files +\d+ {2}1 finding\n/);
    expect(text).toMatch(
      /error\[E_HASH\]: damaged\/model\.safetensors: the file is not what the manifest says\n/,
    );
    expect(text).toMatch(/tensor "[\w.]+" \(bytes \d+\.\.\d+.*\) does not match its hash/);
    expect(text).toMatch(/✗ damaged is not what it should be: \d findings/);
  });

  it("doctor --selftest: the whole pipeline on the embedded model", () => {
    const { status, stdout } = cli(["doctor", "--selftest"], options);
    expect(status).toBe(0);
    for (const step of ["prune", "verify full", "convert to dense", "verify dense"]) {
      expect(stdout).toMatch(new RegExp(`✓ {2}selftest: ${step} `));
    }
  });
});

describe("PA-08 a tensor name that commands the terminal", () => {
  it("is shown as text, and comes back whole from JSON", () => {
    const name = "model.layers.0.mlp.\u001b]0;owned\u0007\u202eup_proj.weight";
    const source = llama();
    const [first, ...rest] = source.tensors.filter(({ name: own }) => own.includes("up_proj"));
    writeModel(join(folder, "hostile"), {
      tensors: [{ ...first!, name }, ...rest],
      config: { model_type: "llama" },
    });
    for (const line of ["inspect hostile --tensors", "plan hostile", "plan hostile --tensors"]) {
      const { status, stdout, stderr } = cli(line.split(" "), options);
      expect(status, stderr).toBe(0);
      expect(stdout).toContain("\\u{1b}]0;owned\\u{7}\\u{202e}up_proj");
      expect((stdout + stderr).replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }
    const { stdout } = cli(["inspect", "hostile", "--json"], options);
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(
      JSON.parse(stdout).result.tensors.map((tensor: { name: string }) => tensor.name),
    ).toContain(name);
  });
});

describe("PA-09 secrets of the environment", () => {
  it("are in no output, manifest or recipe", () => {
    const secret = "hf_aTokenThatNobodyMaySee";
    const env = { HF_TOKEN: secret, HUGGING_FACE_HUB_TOKEN: secret, SPINFER_DEBUG: "1" };
    const runs = [
      cli("prune model -o secret --save-recipe secret.yaml".split(" "), { ...options, env }),
      cli("verify secret --level full --json".split(" "), { ...options, env }),
      cli("doctor --json".split(" "), { ...options, env }),
      cli("inspect nowhere".split(" "), { ...options, env }),
    ];
    for (const { stdout, stderr } of runs) expect(stdout + stderr).not.toContain(secret);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(files.length).toBeGreaterThan(20);
    for (const { parentPath, name } of files)
      expect(readFileSync(join(parentPath, name)).includes(secret), name).toBe(false);
  });
});

describe("a package that is read from elsewhere", () => {
  it("finds its pages from any working folder", () => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere);
    const page = fileURLToPath(new URL("../../docs/errors/E_LOCKED.md", import.meta.url));
    const { stdout } = cli(["help", "E_LOCKED"], { cwd: elsewhere });
    expect(stdout).toBe(readFileSync(page, "utf8"));
  });
});
