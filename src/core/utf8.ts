/** UTF-8 beyond what node:buffer says. */
import { isUtf8 } from "node:buffer";

/**
 * Where the first sequence that is not UTF-8 begins, in bytes of which `isUtf8` says that they are
 * not. Found by bisection, since that is all it says.
 */
export function firstBadByte(bytes: Uint8Array): number {
  let good = 0;
  let bad = bytes.length;
  for (;;) {
    let middle = good + Math.floor((bad - good) / 2);
    for (let back = 0; back < 3 && (bytes[middle]! & 0xc0) === 0x80; back++) middle--;
    if (middle <= good) break;
    if (isUtf8(bytes.subarray(good, middle))) good = middle;
    else bad = middle;
  }
  for (let end = good + 1; end <= Math.min(good + 4, bytes.length); end++) {
    if (isUtf8(bytes.subarray(good, end))) good = end;
  }
  return good;
}
