import { describe, expect, it } from "vitest";
import { csv, jsonLines, jsonText } from "../../src/cli/output/data.ts";
import {
  bad,
  type Document,
  faint,
  good,
  lines,
  strong,
  type Table,
} from "../../src/cli/output/document.ts";
import { errorText } from "../../src/cli/output/errorText.ts";
import { humanText } from "../../src/cli/output/humanText.ts";
import { markdown } from "../../src/cli/output/markdown.ts";
import { wantsColour } from "../../src/cli/output/style.ts";
import { counted, formatCount, kindOf, quoted, sizeChange } from "../../src/cli/views/words.ts";
import { SpInferError } from "../../src/core/errors.ts";

const table: Table = {
  columns: [
    { key: "name", title: "tensor" },
    { key: "bytes", title: "bytes", align: "right", show: (value) => `${value} B` },
    { key: "hidden", title: "hidden", dataOnly: true },
    {
      key: "why",
      title: "why",
      tone: (value) => (value === null ? undefined : "caution"),
    },
  ],
  rows: [
    { name: "a", bytes: 5, hidden: true, why: null },
    { name: "model.layers.0", bytes: 12345, hidden: false, why: "x, y" },
  ],
};

const document: Document = [
  lines([strong("Title"), " rest"], [good("✓"), " fine ", bad("✗"), faint(" pale")]),
  {
    kind: "facts",
    facts: [
      ["size", ["5 B"]],
      ["parameters", ["3"]],
    ],
  },
  { kind: "table", table },
  { kind: "text", text: "as it\n is\n" },
];

describe("a document for people", () => {
  it("is aligned text", () => {
    expect(humanText(document, false)).toBe(
      [
        "Title rest",
        "✓ fine ✗ pale",
        "",
        "  size        5 B",
        "  parameters  3",
        "",
        "  tensor            bytes  why",
        "  a                   5 B",
        "  model.layers.0  12345 B  x, y",
        "",
        "as it\n is",
        "",
      ].join("\n"),
    );
  });

  it("is the same with colours, but for the colours", () => {
    const coloured = humanText(document, true);
    expect(coloured).toContain("\u001b[32m✓\u001b[39m");
    expect(coloured.replace(/\u001b\[\d+m/g, "")).toBe(
      humanText(document, false).replace(
        "  a                   5 B\n",
        "  a                   5 B\n",
      ),
    );
  });

  it("is Markdown that GitHub shows as a table", () => {
    expect(markdown(document)).toBe(
      [
        "Title rest  ",
        "✓ fine ✗ pale",
        "",
        "- **size**: 5 B",
        "- **parameters**: 3",
        "",
        "| tensor | bytes | why |",
        "|---|---:|---|",
        "| a | 5 B |  |",
        "| model.layers.0 | 12345 B | x, y |",
        "",
        "```\nas it\n is\n```",
        "",
      ].join("\n"),
    );
  });

  it("keeps a name from ending a cell or becoming markup", () => {
    const rows = [{ name: "a|b <img> `*`", bytes: 1, hidden: null, why: null }];
    expect(markdown([{ kind: "table", table: { ...table, rows } }])).toContain(
      "| a\\|b \\<img> \\`\\*\\` | 1 B |  |",
    );
  });
});

describe("a table for programs", () => {
  it("is CSV by RFC 4180, with all columns and raw values", () => {
    const rows = [...table.rows, { name: 'say "hi"', bytes: 1, hidden: null, why: "two\nlines" }];
    expect(csv({ ...table, rows })).toBe(
      'name,bytes,hidden,why\na,5,true,\nmodel.layers.0,12345,false,"x, y"\n"say ""hi""",1,,two\\u{a}lines\n',
    );
  });

  it("is JSON lines with a schema each", () => {
    const parsed = jsonLines(table, "plan")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(parsed[1]).toEqual({
      schema: "spinfer.row/1",
      command: "plan",
      name: "model.layers.0",
      bytes: 12345,
      hidden: false,
      why: "x, y",
    });
  });
});

/** Title of the window, clear screen, C1 introducer, right-to-left override, line separator. */
const HOSTILE = "a\u001b]0;owned\u0007\u001b[2J\u009b31m\u202eb\u2028c\r\n\u0000";

describe("PA-08 a name that tries to command the terminal", () => {
  const rows = [{ name: HOSTILE, bytes: 1, hidden: null, why: HOSTILE }];
  const hostile: Document = [
    lines([HOSTILE, strong(HOSTILE)]),
    { kind: "facts", facts: [["name", [HOSTILE]]] },
    { kind: "table", table: { ...table, rows } },
  ];
  const record = new SpInferError("E_USAGE", `first ${HOSTILE}`, {
    path: HOSTILE,
    found: HOSTILE,
    expected: HOSTILE,
    hint: HOSTILE,
  }).toRecord();

  it.each([
    ["text", humanText(hostile, false)],
    ["Markdown", markdown(hostile)],
    ["CSV", csv({ ...table, rows })],
    ["JSON lines", jsonLines({ ...table, rows }, "inspect")],
    ["JSON", jsonText({ name: HOSTILE, nested: [{ [HOSTILE]: 1 }] }, 2)],
    ["an error", errorText(record, false)],
  ])("is harmless in %s", (_, text) => {
    expect(text).toContain("owned");
    expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  it("is only painted by ourselves", () => {
    const codes = new Set(humanText(hostile, true).match(/\u001b\[[^m]*m/g));
    expect([...codes].sort()).toEqual([
      "\u001b[1m",
      "\u001b[22m",
      "\u001b[2m",
      "\u001b[33m",
      "\u001b[39m",
    ]);
  });

  it("comes back whole from JSON", () => {
    expect(JSON.parse(jsonText({ name: HOSTILE }, 0))).toEqual({ name: HOSTILE });
  });
});

describe("an error", () => {
  it("says what, what was expected and found, what to do, and the exit code", () => {
    const error = new SpInferError("E_ST_TRUNCATED", "m.safetensors: the file is cut short", {
      expected: "4966188864 bytes",
      found: "4553872004 bytes",
      hint: "fetch it again",
    });
    expect(errorText(error.toRecord(), false)).toBe(
      [
        "error[E_ST_TRUNCATED]: m.safetensors: the file is cut short",
        "  expected: 4966188864 bytes",
        "  found:    4553872004 bytes",
        "  fix:      fetch it again",
        "  docs:     spinfer help E_ST_TRUNCATED                             (exit 3)",
        "",
      ].join("\n"),
    );
  });

  it("keeps the lines of a message that has several", () => {
    const error = new SpInferError("E_RECIPE_VALUE", "r.yaml:2:3: wrong\n  2 | a: b\n    |    ^");
    expect(errorText(error.toRecord(), true).split("\n").slice(0, 3)).toEqual([
      "\u001b[31merror[E_RECIPE_VALUE]\u001b[39m: r.yaml:2:3: wrong",
      "    2 | a: b",
      "      |    ^",
    ]);
  });
});

describe("colours", () => {
  it.each([
    [true, {}, true, true],
    [false, {}, true, false],
    [true, { NO_COLOR: "1" }, true, false],
    [true, { NO_COLOR: "" }, true, true],
    [true, { TERM: "dumb" }, true, false],
    [true, {}, false, false],
  ])("terminal %s, environment %o, asked %s: %s", (tty, env, asked, expected) => {
    expect(wantsColour(tty, env, asked)).toBe(expected);
  });
});

describe("words", () => {
  it("counts", () => {
    expect(counted(1, "tensor")).toBe("1 tensor");
    expect(counted(0, "tensor")).toBe("0 tensors");
    expect(counted(12345, "file")).toBe("12,345 files");
    expect(formatCount(9999)).toBe("9,999");
    expect(formatCount(3_148_032)).toBe("3.15 M");
    expect(formatCount(999_700)).toBe("1.00 M");
    expect(formatCount(70_553_706_496)).toBe("70.6 B");
  });

  it("compares sizes", () => {
    expect(sizeChange(6_300_152, 3_914_928)).toBe("37.9 % smaller");
    expect(sizeChange(100, 150)).toBe("50 % larger");
    expect(sizeChange(1_000_000, 1_000_100)).toBe("the same size");
    expect(sizeChange(0, 10)).toBe("the same size");
  });

  it("quotes paths for a shell", () => {
    expect(quoted("./out-1/a.b")).toBe("./out-1/a.b");
    expect(quoted("my model")).toBe("'my model'");
    expect(quoted("it's; rm")).toBe("'it'\\''s; rm'");
  });

  it("puts the numbers of blocks aside", () => {
    expect(kindOf("model.layers.17.mlp.experts.3.w1.weight")).toBe(
      "model.layers.*.mlp.experts.*.w1.weight",
    );
    expect(kindOf("h.0")).toBe("h.*");
    expect(kindOf("layer10.w2")).toBe("layer10.w2");
  });
});
