/** Chooses how progress is shown. */
import type { ProgressMode } from "../commandLine/options.ts";
import type { Host } from "../host.ts";
import { jsonReporter } from "./json.ts";
import { plainReporter } from "./plain.ts";
import { type Reporter, type ReporterOptions, warningText } from "./reporter.ts";

export async function createReporter(host: Host, options: ReporterOptions): Promise<Reporter> {
  switch (chooseMode(host, options)) {
    case "bar": {
      const { barReporter } = await import("./bar.ts");
      return barReporter(host.stderr, options);
    }
    case "json":
      return jsonReporter(host.stderr, options.now);
    case "plain":
      return plainReporter(host.stderr, options);
    case "none":
      return {
        report: () => undefined,
        warn: (warning) => host.stderr.write(warningText(warning, options.colour)),
        close: () => undefined,
      };
  }
}

function chooseMode(host: Host, { mode, quiet }: ReporterOptions): Exclude<ProgressMode, "auto"> {
  const terminal = host.stderr.isTty && host.env["TERM"] !== "dumb";
  const ci = !["", "0", "false"].includes(host.env["CI"] ?? "");
  if (mode === "bar") return terminal ? "bar" : "plain";
  if (mode !== "auto") return mode;
  if (quiet) return "none";
  return terminal && !ci ? "bar" : "plain";
}
