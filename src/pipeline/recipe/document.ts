/**
 * YAML text as plain values with the place of every one of them. What recipes do not need and
 * strangers could misuse (anchors, aliases, tags, merge keys, directives, several documents) is
 * refused, and nothing is ever expanded: `${HOME}` is seven characters.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type Scalar,
} from "yaml";
import { printable } from "../../core/text.ts";
import { type Problem, recipeError } from "./problem.ts";

/** Where a value stands, and its key. Offsets in UTF-16 units. */
interface Location {
  readonly key: number;
  readonly value: number;
}

export type Path = readonly PropertyKey[];

export interface RecipeDocument {
  readonly text: string;
  readonly label: string;
  /** Mappings are objects without prototype. */
  readonly value: unknown;
  /** Of the value at a path, or of the nearest thing around it when there is none. */
  locate(path: Path): Location;
}

/** Throws E_RECIPE_ALIAS, E_RECIPE_SYNTAX. */
export function parseYaml(text: string, label: string): RecipeDocument {
  const directive = /^%.*/m.exec(text);
  if (directive !== null) {
    throw recipeError(text, label, [
      {
        code: "E_RECIPE_SYNTAX",
        message: "directives are not part of recipes",
        offset: directive.index,
      },
    ]);
  }
  const parsed = parseDocument(text, {
    version: "1.2",
    schema: "core",
    strict: true,
    // the parser compares every key with every other; `Reader` does it in linear time
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "error",
    lineCounter: new LineCounter(),
  });
  const reader = new Reader(text);
  const value = parsed.contents === null ? null : reader.read(parsed.contents, []);
  if (reader.refused.length > 0) throw recipeError(text, label, reader.refused);
  const errors = parsed.errors.map(
    ({ message, pos }): Problem => ({
      code: "E_RECIPE_SYNTAX",
      message: syntaxMessage(message),
      offset: Math.min(pos[0], text.length),
    }),
  );
  if (errors.length + reader.doubled.length > 0) {
    throw recipeError(text, label, [...errors, ...reader.doubled]);
  }
  return { text, label, value, locate: (path) => reader.locate(path) };
}

function syntaxMessage(message: string): string {
  if (message.startsWith("Source contains multiple documents")) {
    return "a second document starts here, a recipe is one";
  }
  return printable(message.charAt(0).toLowerCase() + message.slice(1));
}

/** Turns nodes into values, and notes what it meets on the way. */
class Reader {
  /** Anchors, aliases, tags, merge keys. */
  readonly refused: Problem[] = [];
  /** Keys that are there twice. */
  readonly doubled: Problem[] = [];
  readonly #text: string;
  readonly #locations = new Map<string, Location>();

  constructor(text: string) {
    this.#text = text;
  }

  locate(path: Path): Location {
    for (let length = path.length; length > 0; length--) {
      const found = this.#locations.get(placeKey(path.slice(0, length)));
      if (found !== undefined) return found;
    }
    return this.#locations.get(placeKey([])) ?? { key: 0, value: 0 };
  }

  read(node: ParsedNode, path: Path, key = node.range[0]): unknown {
    this.#locations.set(placeKey(path), { key, value: node.range[0] });
    this.#refuseExtras(node);
    if (isAlias(node)) return null;
    if (isSeq(node)) {
      return node.items.map((item, index) => this.read(item as ParsedNode, [...path, index]));
    }
    if (!isMap(node)) return (node as Scalar).value;
    const record: Record<string, unknown> = Object.create(null);
    for (const pair of node.items) {
      const name = this.#keyName(pair.key);
      const begin = pair.key.range[0];
      if (Object.hasOwn(record, name)) {
        this.doubled.push({
          code: "E_RECIPE_SYNTAX",
          message: `key "${printable(name, 60)}" is there twice`,
          offset: begin,
        });
        continue;
      }
      const at = [...path, name];
      this.#locations.set(placeKey(at), { key: begin, value: begin });
      // without a prototype `__proto__` is a key like any other
      record[name] = pair.value === null ? null : this.read(pair.value, at, begin);
    }
    return record;
  }

  #keyName(key: ParsedNode): string {
    this.#refuseExtras(key);
    const name = isScalar(key) ? String(key.value ?? "") : this.#sourceOf(key);
    if (name === "<<") this.#refuse("merge keys (<<) are not part of recipes", key.range[0]);
    return name;
  }

  #sourceOf(node: ParsedNode): string {
    return this.#text.slice(node.range[0], node.range[1]);
  }

  #refuseExtras(node: ParsedNode): void {
    const begin = node.range[0];
    if (isAlias(node)) {
      this.#refuse(`alias *${printable(node.source, 60)}: aliases are not part of recipes`, begin);
      return;
    }
    if (node.anchor !== undefined) {
      const at = this.#text.lastIndexOf(`&${node.anchor}`, begin);
      const name = printable(node.anchor, 60);
      this.#refuse(`anchor &${name}: anchors are not part of recipes`, at < 0 ? begin : at);
    }
    if (node.tag !== undefined) {
      const [from, to] = wordBefore(this.#text, begin);
      const name = printable(this.#text.slice(from, to), 60);
      this.#refuse(`tag ${name}: tags are not part of recipes`, from);
    }
  }

  #refuse(message: string, offset: number): void {
    this.refused.push({
      code: "E_RECIPE_ALIAS",
      message,
      offset,
      hint: "write the value out where it is used",
    });
  }
}

/** Begin and end of the word that ends before `offset`. */
function wordBefore(text: string, offset: number): readonly [number, number] {
  let end = offset;
  while (end > 0 && /\s/.test(text[end - 1]!)) end--;
  let begin = end;
  while (begin > 0 && !/\s/.test(text[begin - 1]!)) begin--;
  return [begin, end];
}

function placeKey(path: Path): string {
  return path.map(String).join("\0");
}
