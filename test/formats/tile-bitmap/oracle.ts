/**
 * A second encoder, written from SPEC.md alone and with its numbers written out: it takes nothing
 * from the code it judges. Slow on purpose: it looks up every bit by the formula of section 3.
 */

export interface OracleMatrix {
  readonly rows: number;
  readonly cols: number;
  /** Row-major, outputs first. */
  readonly bits: Uint16Array;
  /** 1 = fp16, 2 = bf16. */
  readonly dtypeCode: number;
  readonly transposed: boolean;
}

export interface OraclePacked {
  readonly payload: Uint8Array;
  readonly meta: Uint8Array;
  readonly nonzeros: number;
}

export function oraclePack(matrix: OracleMatrix): OraclePacked {
  const down = Math.ceil(matrix.rows / 32);
  const across = Math.ceil(matrix.cols / 64);
  const payload: number[] = [];
  const offsets = [0];
  let nonzeros = 0;
  for (let strip = 0; strip < down; strip++) {
    for (let column = 0; column < across; column++) {
      const { bytes, values } = oracleChunk(matrix, 32 * strip, 64 * column);
      for (const byte of bytes) payload.push(byte);
      offsets.push(payload.length / 16);
      nonzeros += values;
    }
  }
  const packed = Uint8Array.from(payload);
  return { payload: packed, meta: oracleMeta(matrix, packed, offsets, nonzeros), nonzeros };
}

/** Section 5: two bitmaps, the values of both blocks, zeros up to a multiple of 16. */
function oracleChunk(
  { rows, cols, bits }: OracleMatrix,
  top: number,
  left: number,
): { bytes: number[]; values: number } {
  const words = new Array<number>(64).fill(0);
  const values: number[] = [];
  for (let block = 0; block < 2; block++) {
    // section 4: by plane m, then t, then g, then j
    for (let place = 0; place < 1024; place++) {
      const m = Math.floor(place / 128);
      const t = Math.floor(place / 32) % 4;
      const g = Math.floor(place / 4) % 8;
      const j = place % 4;
      const row = top + 16 * block + g + (j >= 2 ? 8 : 0);
      const col = left + 16 * t + 2 * m + (j % 2);
      if (row >= rows || col >= cols) continue;
      const value = bits[row * cols + col]!;
      if (value === 0) continue;
      words[32 * block + 4 * g + t]! += 2 ** (4 * m + j);
      values.push(value);
    }
  }
  const bytes = words.flatMap((word) => littleEndian(word, 4));
  for (const value of values) bytes.push(value % 256, Math.floor(value / 256));
  while (bytes.length % 16 !== 0) bytes.push(0);
  return { bytes, values: values.length };
}

/** Section 6. */
function oracleMeta(
  { rows, cols, dtypeCode, transposed }: OracleMatrix,
  payload: Uint8Array,
  offsets: readonly number[],
  nonzeros: number,
): Uint8Array {
  const bytes = [
    ...[..."SPTILEBM"].map((letter) => letter.charCodeAt(0)),
    ...littleEndian(1, 2),
    ...littleEndian(0, 2),
    dtypeCode,
    1, // nibble planes
    0, // no scales
    transposed ? 1 : 0,
    ...littleEndian(rows, 4),
    ...littleEndian(cols, 4),
    ...littleEndian(32, 2),
    ...littleEndian(64, 2),
    ...littleEndian(64, 4),
    ...littleEndian(nonzeros, 8),
    ...littleEndian(payload.length, 8),
    ...littleEndian(offsets.length - 1, 4),
    ...littleEndian(0, 4),
    ...littleEndian(oracleCrc(payload), 4),
    ...littleEndian(0, 4),
    ...offsets.flatMap((offset) => littleEndian(offset, 4)),
  ];
  while (bytes.length % 16 !== 0) bytes.push(0);
  bytes.splice(60, 4, ...littleEndian(oracleCrc(bytes), 4));
  return Uint8Array.from(bytes);
}

function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
}

/** CRC-32 bit by bit. */
export function oracleCrc(bytes: Iterable<number>): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0xedb8_8320);
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
