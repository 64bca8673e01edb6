/** Matrices of the plain engine, and their product. Values are float32, sums float64. */

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

export function emptyMatrix(rows: number, columns: number): Matrix {
  return { rows, columns, values: new Float32Array(rows * columns) };
}

/** Rows of `left` and of `right` that are multiplied together: eight sums stay in registers. */
const LEFT = 2;
const RIGHT = 4;

/**
 * left · rightᵀ + bias, both row-major over the same inner axis.
 * left: [rows, inner]; right: [columns, inner]; gives [rows, columns].
 */
export function multiplyTransposed(
  left: Matrix,
  right: Float32Array,
  columns: number,
  bias?: Float32Array,
): Matrix {
  const { rows, columns: inner } = left;
  const out = emptyMatrix(rows, columns);
  const wholeRows = rows - (rows % LEFT);
  const wholeColumns = columns - (columns % RIGHT);
  for (let column = 0; column < wholeColumns; column += RIGHT) {
    for (let row = 0; row < wholeRows; row += LEFT) {
      multiplyTile(left.values, right, out.values, { row, column, inner, columns });
    }
  }
  for (let row = 0; row < rows; row++) {
    const first = row < wholeRows ? wholeColumns : 0;
    for (let column = first; column < columns; column++) {
      out.values[row * columns + column] = dot(
        left.values,
        row * inner,
        right,
        column * inner,
        inner,
      );
    }
  }
  if (bias !== undefined) addToRows(out, bias);
  return out;
}

interface Tile {
  readonly row: number;
  readonly column: number;
  readonly inner: number;
  readonly columns: number;
}

function multiplyTile(
  left: Float32Array,
  right: Float32Array,
  out: Float32Array,
  { row, column, inner, columns }: Tile,
): void {
  const a0 = row * inner;
  const a1 = a0 + inner;
  const b0 = column * inner;
  const b1 = b0 + inner;
  const b2 = b1 + inner;
  const b3 = b2 + inner;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  for (let k = 0; k < inner; k++) {
    const x0 = left[a0 + k]!;
    const x1 = left[a1 + k]!;
    const y0 = right[b0 + k]!;
    const y1 = right[b1 + k]!;
    const y2 = right[b2 + k]!;
    const y3 = right[b3 + k]!;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
  }
  const at = row * columns + column;
  out[at] = s00;
  out[at + 1] = s01;
  out[at + 2] = s02;
  out[at + 3] = s03;
  out[at + columns] = s10;
  out[at + columns + 1] = s11;
  out[at + columns + 2] = s12;
  out[at + columns + 3] = s13;
}

/** Σ left[leftAt + k] · right[rightAt + k] over `length` elements, in float64. */
export function dot(
  left: Float32Array,
  leftAt: number,
  right: Float32Array,
  rightAt: number,
  length: number,
): number {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += left[leftAt + k]! * right[rightAt + k]!;
  return sum;
}

function addToRows({ rows, columns, values }: Matrix, bias: Float32Array): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      values[row * columns + column]! += bias[column]!;
    }
  }
}

/** [rows, columns] → [columns, rows], into fresh memory. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = values[row * columns + column]!;
    }
  }
  return out;
}
