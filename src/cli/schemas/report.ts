/** The JSON result of `report`. */
import { type Infer, z } from "../../core/zod.ts";
import { bytes, count } from "./parts.ts";

export const reportResultSchema = z.strictObject({
  output: z.string(),
  form: z.enum(["html", "md", "card"]),
  bytes,
  records: count,
  sections: z.array(z.string()).describe("What the page shows"),
});
export type ReportResult = Infer<typeof reportResultSchema>;
