/** SHA-256 of the files that a run reads from. */
import type { Extent } from "../core/archive.ts";
import { type OnEvent, Progress } from "./events.ts";
import type { FileRecord } from "./manifest.ts";
import type { OpenedModel } from "./openModel.ts";
import type { Pool } from "./work/pool.ts";

/** Each is taken when the file's tensors are read: it is in memory then. */
export class SourceHashes {
  private readonly model: OpenedModel;
  private readonly pool: Pool;
  private readonly progress: Progress;
  private readonly hashes = new Map<string, Promise<FileRecord>>();

  constructor(model: OpenedModel, pool: Pool, onEvent: OnEvent) {
    const { tensorFiles } = model.archive;
    const bytes = tensorFiles.reduce((sum, file) => sum + file.bytes, 0);
    this.model = model;
    this.pool = pool;
    this.progress = new Progress(onEvent, "hash", tensorFiles.length, bytes);
  }

  /** Begins with the files that these extents are in. */
  start(extents: readonly Extent[]): void {
    for (const { file } of extents) {
      if (this.hashes.has(file)) continue;
      const hash = this.hash(file);
      hash.catch(() => undefined); // awaited in `all`
      this.hashes.set(file, hash);
    }
  }

  private async hash(file: string): Promise<FileRecord> {
    const { bytes } = this.model.archive.tensorFiles.find(({ name }) => name === file)!;
    const parts = [{ path: this.model.pathOf(file), begin: 0, end: bytes }];
    const { sha256 } = await this.pool.run({ kind: "hash", parts });
    this.progress.item(file, bytes);
    return { path: file, bytes, sha256 };
  }

  async all(): Promise<FileRecord[]> {
    const { tensorFiles } = this.model.archive;
    this.start(tensorFiles.map(({ name }) => ({ file: name, begin: 0, end: 0 })));
    const files = await Promise.all(tensorFiles.map(({ name }) => this.hashes.get(name)!));
    this.progress.end();
    return files;
  }
}
