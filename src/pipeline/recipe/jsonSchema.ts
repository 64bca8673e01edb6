/** The JSON Schema of recipes, for editors. Published as recipe.schema.json beside this file. */
import { z } from "../../core/zod.ts";
import { recipeFile } from "./schema.ts";

export function recipeJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(recipeFile, {
    target: "draft-2020-12",
    io: "input",
  });
  return { $schema, title: "SpInfer recipe, version 1", ...schema };
}
