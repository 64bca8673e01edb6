// Writes the published JSON Schemas from the zod schemas. Needs a build: `npm run build` first.
import { writeFile } from "node:fs/promises";
import { cliJsonSchemas } from "../dist/src/cli/schemas/index.js";
import { recipeJsonSchema } from "../dist/src/pipeline/recipe/jsonSchema.js";

const schemas = { "pipeline/recipe/recipe.schema.json": recipeJsonSchema() };
for (const [name, schema] of Object.entries(cliJsonSchemas()))
  schemas[`cli/schemas/${name}`] = schema;

for (const [path, schema] of Object.entries(schemas)) {
  const file = new URL(`../src/${path}`, import.meta.url);
  await writeFile(file, `${JSON.stringify(schema, null, 2)}\n`);
  console.log(`wrote ${file.pathname}`);
}
