/**
 * Large buffers that are used again and again. A fresh one costs a page fault every 4 KiB and, once
 * dropped, stays until the collector comes by: with tensors of hundreds of megabytes that is both
 * the time and the memory of a run.
 */

/** A free buffer is used for what is at least this much of it; the rest of it would be idle. */
const LEAST_SHARE = 0.5;

export class BufferStore {
  private free: ArrayBuffer[] = [];
  private lent = 0;
  private readonly budget: number;

  /** `budget`: bytes that lent and free buffers may have together; free ones are dropped for it. */
  constructor(budget: number) {
    this.budget = budget;
  }

  /** Lends the smallest buffer that will do; undefined: none does, and the borrower makes one. */
  lend(bytes: number): ArrayBuffer | undefined {
    const fitting = this.free
      .filter(({ byteLength }) => bytes <= byteLength && bytes >= byteLength * LEAST_SHARE)
      .sort((a, b) => a.byteLength - b.byteLength)[0];
    this.lent += fitting?.byteLength ?? bytes;
    this.free = this.free.filter((buffer) => buffer !== fitting);
    this.trim();
    return fitting;
  }

  /** Takes back what was lent, or made by the borrower. */
  giveBack(buffer: ArrayBuffer): void {
    this.lent = Math.max(0, this.lent - buffer.byteLength);
    this.free.push(buffer);
    this.trim();
  }

  private trim(): void {
    let total = this.free.reduce((sum, { byteLength }) => sum + byteLength, this.lent);
    while (total > this.budget && this.free.length > 0) total -= this.free.shift()!.byteLength;
  }
}

/** The one buffer that a task works in: lent to it, or made when it is first asked for. */
export class Workspace {
  /** Undefined while nothing asked for it. */
  buffer: ArrayBuffer | undefined;

  constructor(buffer?: ArrayBuffer) {
    this.buffer = buffer;
  }

  /** `bytes` bytes of it, of any content. */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    if (this.buffer === undefined || this.buffer.byteLength < bytes)
      this.buffer = new ArrayBuffer(bytes);
    return new Uint8Array(this.buffer, 0, bytes);
  }
}
