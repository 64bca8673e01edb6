/** Arrays for the tensors of a run, used again: fresh memory costs a page fault for every 4 KiB. */
export class Buffers {
  /** Free ones, the smallest first. */
  private readonly free: Float32Array[] = [];

  take(size: number): Float32Array {
    const at = this.free.findIndex(({ length }) => length >= size);
    if (at >= 0) return this.free.splice(at, 1)[0]!;
    // it takes the place of one that is too small: there are never more than a run needs at once
    this.free.pop();
    return new Float32Array(size);
  }

  give(buffer: Float32Array): void {
    const at = this.free.findIndex(({ length }) => length >= buffer.length);
    this.free.splice(at < 0 ? this.free.length : at, 0, buffer);
  }
}
