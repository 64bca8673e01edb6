/** completion: a script for a shell, made from the tables of commands and options. */
import { SpInferError } from "../../core/errors.ts";
import { bashScript } from "../completion/bash.ts";
import { fishScript } from "../completion/fish.ts";
import { zshScript } from "../completion/zsh.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";

const SCRIPTS: Readonly<Record<string, () => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export async function completion({ arguments: given }: Invocation): Promise<Outcome> {
  const shell = given.required("shell");
  const make = SCRIPTS[shell];
  if (make === undefined) throw new SpInferError("E_INTERNAL", `no completion script for ${shell}`);
  const script = make();
  return {
    result: { shell, script },
    document: () => [{ kind: "text", text: script }],
    quiet: script.trimEnd(),
  };
}
