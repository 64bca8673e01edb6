/** Text of many kinds, for tokenizers to differ on; the same for the same seed. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createRandom, type Random } from "../helpers/random.ts";

const HELDOUT = fileURLToPath(new URL("../../models/demo/heldout.txt", import.meta.url));
const ROOT = new URL("../../", import.meta.url);

/** Letters of a script, from one code point to another. */
const SCRIPTS: readonly (readonly [number, number])[] = [
  [0x61, 0x7a], // Latin
  [0xc0, 0x17f], // Latin with accents
  [0x391, 0x3c9], // Greek
  [0x410, 0x44f], // Cyrillic
  [0x5d0, 0x5ea], // Hebrew
  [0x621, 0x64a], // Arabic
  [0x905, 0x939], // Devanagari
  [0xe01, 0xe2e], // Thai
  [0x3041, 0x3096], // Hiragana
  [0x4e00, 0x4eff], // Han
  [0xac00, 0xacff], // Hangul
];
const DIGITS = ["0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "²³¹½¾①⑳Ⅷ", "𝟘𝟙𝟚"];
const SPACES = [
  " ",
  "  ",
  "    ",
  "\t",
  "\n",
  "\n\n\n",
  "\r\n",
  " \n ",
  "\u00a0",
  "\u0085",
  "\u2003",
  "\u3000",
  "\u2028",
  "\ufeff",
  "\u200b",
  "\v",
  "\f",
  " \ufeff ",
  "\u0085 \u0085",
];
const EMOJI = ["😀", "👩‍👩‍👧", "🇩🇪", "❤️", "👍🏽", "🏳️‍🌈", "①", "™", "∑", "→"];
const MARKS = [
  "'s",
  "'LL",
  "'re",
  "\u2019s",
  "...",
  "—",
  "«»",
  "!?",
  "#",
  "@",
  "$1,234.56",
  "e\u0301",
  "A\u030a",
  "ﬁ",
  "Å",
  "ſ",
  "İ",
  "\u0000",
  "\u001b[0m",
  "▁",
  "▁▁▁▁",
  "<odd one>",
  "<s>",
  "<|endoftext|>",
  "<unk>",
  "\ud83e\udd80",
];
const CODE = [
  "def f(x):\n    return x ** 2\n",
  "for (let i = 0; i < 10; i++) {\n\t\tconsole.log(i);\n}\n",
  "SELECT * FROM t WHERE a='b';\n",
  '<div class="x">&nbsp;</div>\n',
  "#include <stdio.h>\nint main(void) { return 0x1F; }\n",
];

function word(random: Random): string {
  const [from, to] = random.pick(SCRIPTS);
  let text = "";
  for (let length = 1 + random.int(9); length > 0; length--)
    text += String.fromCodePoint(from + random.int(to - from + 1));
  return random.chance(0.15) ? text.toUpperCase() : text;
}

function piece(random: Random): string {
  const draw = random.next();
  if (draw < 0.6) return word(random);
  if (draw < 0.7) {
    const digits = [...random.pick(DIGITS)];
    return Array.from({ length: 1 + random.int(7) }, () => random.pick(digits)).join("");
  }
  if (draw < 0.78) return random.pick(EMOJI);
  if (draw < 0.95) return random.pick(MARKS);
  return random.pick(CODE);
}

/** About so many bytes of UTF-8: stories, code, and a salad of scripts, signs and spaces. */
export function mixedText(bytes: number, seed: number): string {
  const random = createRandom(seed);
  const stories = readFileSync(HELDOUT, "utf8");
  const source = readFileSync(new URL("src/pipeline/verify.ts", ROOT), "utf8");
  const parts = [stories.slice(0, bytes / 5), source.slice(0, bytes / 10)];
  for (let size = Buffer.byteLength(parts.join("")); size < bytes; ) {
    const next = piece(random) + (random.chance(0.7) ? " " : random.pick(SPACES));
    parts.push(next);
    size += Buffer.byteLength(next);
  }
  return parts.join("");
}
