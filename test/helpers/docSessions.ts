/**
 * Documents whose commands are run. A block of the language `console` is a session: lines after
 * "$ " are commands; what follows a command is its output, with times and hashes masked and "…" for
 * lines left out.
 */

export interface Command {
  readonly text: string;
  readonly expected: string;
}

export interface Block {
  readonly language: string;
  readonly body: string;
}

/** Fenced blocks, in their order. */
export function blocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(
    ([, language = "", body = ""]) => ({ language, body }),
  );
}

/** The commands of a `console` block. */
export function commandsOf(body: string): Command[] {
  return body
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [text = "", ...output] = part.split("\n");
      return { text: text.trim(), expected: output.join("\n").trimEnd() };
    });
}

/** Times, speeds, hashes, the fastest engine and machine facts differ from run to run. */
export function masked(text: string): string {
  return text
    .replace(/\b[0-9a-f]{8,64}(?:…)?/g, "#")
    .replace(/\b\d+(?:\.\d+)? (?:ms|s)\b|\b\d+m\d\ds\b/g, "TIME")
    .replace(/\b(?:native \(\w+\)|onnxruntime|typescript) in TIME$/gm, "ENGINE in TIME")
    .replace(/[\d.]+ [kMGT]B free/g, "FREE")
    .replace(/[\d.]+ [MG]B\/s/g, "SPEED")
    .replace(/\bABI \d+/g, "ABI N")
    .replace(
      /^(?:hash|survey|calibrate|prune|convert|write|verify|evaluate|sweep|search|measure)(?: \w+)? \d+ % · .*\n/gm,
      "",
    ) // slow machines show progress
    .replace(/about \d+ [kMG]B with \d+ threads?/g, "MEMORY")
    .replace(/[ \t]+$/gm, "")
    .trimEnd();
}

/** Matches masked output that is what a document shows. */
export function matcher(expected: string): RegExp {
  const lines = masked(expected).split("\n");
  const parts = lines.map((line) => {
    if (line.trim() === "…") return "(?:.*\\n)*?";
    return `${line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\n`;
  });
  return new RegExp(`^${parts.join("")}$`);
}
