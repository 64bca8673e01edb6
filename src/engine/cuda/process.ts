/**
 * The GPU process: loads the library whose path is its argument and answers one request after the
 * other over the channel to its parent. A fault on the device ends this process, not the parent.
 */
import { SpInferError } from "../../core/errors.ts";
import { fileSource } from "../../io/openFile.ts";
import { LibraryFailure } from "../sharedLibrary.ts";
import { Library, NativeFailure } from "./library.ts";
import type { Answered, Asked, Bytes, RequestKind, Requests } from "./requests.ts";

type Handler<Kind extends RequestKind> = (
  library: Library,
  ask: Requests[Kind]["ask"],
) => Requests[Kind]["answer"] | Promise<Requests[Kind]["answer"]>;

const HANDLERS: { readonly [Kind in RequestKind]: Handler<Kind> } = {
  describe: (library) => library.describe(),
  geometries: (library) => library.geometries(),
  draw: (library, ask) => library.draw(ask),
  load: async (library, { meta, payload }) =>
    library.load(await bytesOf(meta), await bytesOf(payload)),
  multiply: (library, { x, tokens, geometry, overlap }) =>
    library.multiply(x, tokens, geometry, overlap),
  decode: (library) => library.decodeWeights(),
  measure: (library, ask) => library.measure(ask),
};

async function bytesOf(bytes: Bytes): Promise<Uint8Array> {
  if (bytes instanceof Uint8Array) return bytes;
  return await fileSource(bytes.path).read(bytes.begin, bytes.end);
}

let loaded: Promise<Library> | undefined;

async function answerTo({ id, kind, ask }: Asked): Promise<Answered> {
  try {
    loaded ??= Library.load(process.argv[2] ?? "");
    const handler = HANDLERS[kind as RequestKind] as Handler<RequestKind>;
    return { id, answer: await handler(await loaded, ask as never) };
  } catch (error) {
    if (error instanceof LibraryFailure) {
      return { id, library: { message: error.message, path: error.path } };
    }
    if (error instanceof NativeFailure) {
      return { id, failure: { status: error.status, message: error.message } };
    }
    if (error instanceof SpInferError) return { id, error: error.toRecord() };
    throw error; // not foreseen: the process ends and its last words reach the parent
  }
}

let line = Promise.resolve();
process.on("message", (asked: Asked) => {
  line = line.then(async () => {
    process.send?.(await answerTo(asked));
  });
});
process.on("disconnect", () => process.exit(0));
