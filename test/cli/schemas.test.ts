import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cliJsonSchemas } from "../../src/cli/schemas/index.ts";

const FOLDER = fileURLToPath(new URL("../../src/cli/schemas", import.meta.url));

describe("the published JSON Schemas", () => {
  const schemas = cliJsonSchemas();

  it("are all there, and no others", () => {
    const published = readdirSync(FOLDER).filter((name) => name.endsWith(".schema.json"));
    expect(published.sort()).toEqual(Object.keys(schemas).sort());
  });

  it.each(Object.keys(schemas))(
    "%s is what the code says; else run scripts/makeSchemas.mjs",
    (name) => {
      expect(JSON.parse(readFileSync(`${FOLDER}/${name}`, "utf8"))).toEqual(schemas[name]);
    },
  );
});
