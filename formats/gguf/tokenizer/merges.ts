/**
 * Merges of a byte-pair encoding: those of the file, or for SentencePiece vocabularies, which
 * have none, those that the pieces imply.
 */
import type { Metadata } from "../metadata.ts";

export type Merge = readonly [left: string, right: string];

const KEY = "tokenizer.ggml.merges";

/** Undefined when the file has no merges. Throws E_GGUF_METADATA for one that cannot apply. */
export function mergesOf(
  metadata: Metadata,
  ids: ReadonlyMap<string, number>,
): Merge[] | undefined {
  return metadata.strings(KEY)?.map((text, i): Merge => {
    // a piece of a byte-level vocabulary has no space; a lone leading one belongs to the left
    const space = text.indexOf(" ", 1);
    const left = text.slice(0, space);
    const right = text.slice(space + 1);
    if (space > 0 && ids.has(left) && ids.has(right) && ids.has(left + right)) {
      return [left, right];
    }
    throw metadata.wrong(KEY, `has at ${i} a merge of pieces that are not in the vocabulary`);
  });
}

interface Candidate {
  readonly left: string;
  readonly right: string;
  readonly priority: number;
  readonly leftLength: number;
  readonly rightLength: number;
}

/**
 * Every way to put a piece together from two others is a merge; `priority(id of the whole)` says
 * which goes first, highest before lower. Ties: the longer left part, then the longer right part,
 * then the order of the vocabulary. This is how transformers makes them from a
 * SentencePiece model, so that both tokenise alike.
 */
export function impliedMerges(
  ids: ReadonlyMap<string, number>,
  priority: (id: number) => number,
): Merge[] {
  const candidates: Candidate[] = [];
  for (const [whole, id] of ids) {
    const ways = splits(whole, ids, priority(id));
    ways.sort(
      (a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!,
    );
    for (const way of ways) candidates.push(way);
  }
  // Array.prototype.sort is stable: equal candidates keep the order of the vocabulary
  candidates.sort(
    (a, b) =>
      b.priority - a.priority || b.leftLength - a.leftLength || b.rightLength - a.rightLength,
  );
  return candidates.map(({ left, right }) => [left, right]);
}

/** Pieces longer than this are runs or names that were put in whole; no merge builds them. */
const LONGEST_PIECE = 512;

function splits(whole: string, ids: ReadonlyMap<string, number>, priority: number): Candidate[] {
  const ways: Candidate[] = [];
  if (whole.length > LONGEST_PIECE) return ways;
  const points = Array.from(whole);
  let cut = 0;
  for (let i = 1; i < points.length; i++) {
    cut += points[i - 1]!.length;
    const left = whole.slice(0, cut);
    if (!ids.has(left)) continue;
    const right = whole.slice(cut);
    if (!ids.has(right)) continue;
    ways.push({ left, right, priority, leftLength: i, rightLength: points.length - i });
  }
  return ways;
}
