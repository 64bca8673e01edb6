// Writes the published JSON Schemas from the zod schemas. Needs a build: `npm run build` first.
import { writeFile } from "node:fs/promises";
import { recipeJsonSchema } from "../dist/src/pipeline/recipe/jsonSchema.js";

const file = new URL("../src/pipeline/recipe/recipe.schema.json", import.meta.url);
await writeFile(file, `${JSON.stringify(recipeJsonSchema(), null, 2)}\n`);
console.log(`wrote ${file.pathname}`);
