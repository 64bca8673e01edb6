/** version. Alone on the command line it is answered by main.ts already. */
import { VERSION } from "../../core/version.ts";
import type { Outcome } from "../outcome.ts";

export async function version(): Promise<Outcome> {
  return {
    result: {
      spinfer: VERSION,
      node: process.versions.node,
      platform: process.platform,
      arch: process.arch,
    },
    document: () => [{ kind: "text", text: VERSION }],
    quiet: VERSION,
  };
}
