/**
 * Tells by their first bytes the files that people take for model weights. Nothing is opened: a
 * pickle is a program, and recognising one means reading its magic and no more.
 */
import { SpInferError } from "./errors.ts";

export interface Container {
  readonly kind: string;
  /** What it is, after "is": "a GGUF file". */
  readonly name: string;
  /** What to do instead. */
  readonly advice: string;
}

/** Bytes that `recogniseContainer` needs to see all it knows. */
export const CONTAINER_PROBE_BYTES = 512;

const SAVE_AS_SAFETENSORS =
  'convert it where you trust it: python -c "import torch, safetensors.torch as s; ' +
  "s.save_file({k: v.contiguous().clone() for k, v in torch.load('FILE', weights_only=True)" +
  ".items()}, 'model.safetensors', {'format': 'pt'})\"";
const FETCH_AGAIN = "download the file again; what arrived is not the model";
const UNPACK = "unpack it and give the folder or the .safetensors file inside";
const READ_INSTEAD = "SpInfer reads safetensors (a file or a model folder) and GGUF";

interface Magic extends Container {
  readonly matches: (bytes: Uint8Array, text: string) => boolean;
}

/** First match wins. `text` is the same bytes as Latin-1. */
const MAGICS: readonly Magic[] = [
  {
    kind: "git-lfs pointer",
    name: "a git-lfs pointer, not the file it points to",
    advice: "fetch the file itself: git lfs pull, or hf download",
    matches: (_, text) => text.startsWith("version https://git-lfs.github.com/spec/"),
  },
  {
    kind: "html",
    name: "an HTML or XML page, most likely an error page saved under this name",
    advice: FETCH_AGAIN,
    matches: (_, text) =>
      /^(?:\xef\xbb\xbf)?\s*<(?:!doctype|!--|html|head|\?xml|error)/i.test(text),
  },
  {
    kind: "json",
    name: "a JSON text, most likely an error reply saved under this name",
    advice: FETCH_AGAIN,
    matches: (_, text) => /^\s*\{\s*(?:"[\w .:/-]*"\s*:|\})/.test(text),
  },
  {
    kind: "gguf",
    name: "a GGUF file",
    advice: "give it a name that ends in .gguf",
    matches: (_, text) => text.startsWith("GGUF"),
  },
  {
    kind: "ggml",
    name: "a GGML file from before GGUF",
    advice: READ_INSTEAD,
    matches: (_, text) => /^(?:lmgg|fmgg|tjgg|algg)/.test(text),
  },
  {
    kind: "npz",
    name: "a NumPy .npz archive",
    advice: READ_INSTEAD,
    matches: (bytes, text) => isZip(text) && firstMember(bytes, text).endsWith(".npy"),
  },
  {
    kind: "zip-pickle",
    name: "a PyTorch checkpoint: a pickle in a zip archive",
    advice: SAVE_AS_SAFETENSORS,
    matches: (bytes, text) =>
      isZip(text) &&
      /(?:^|\/)(?:data\.pkl|constants\.pkl|data\/\d|code\/|\.format_version|\.data\/|byteorder|version)/.test(
        firstMember(bytes, text),
      ),
  },
  {
    kind: "zip",
    name: "a zip archive",
    advice: `${UNPACK}; if it is a PyTorch checkpoint, ${SAVE_AS_SAFETENSORS}`,
    matches: (_, text) => isZip(text),
  },
  {
    kind: "pickle",
    name: "a Python pickle",
    advice: SAVE_AS_SAFETENSORS,
    matches: (bytes, text) => isBinaryPickle(bytes) || isTextPickle(text),
  },
  {
    kind: "tar",
    name: "a tar archive, which is also how very old PyTorch checkpoints (pickles) look",
    advice: `${UNPACK}; if it is a PyTorch checkpoint, ${SAVE_AS_SAFETENSORS}`,
    matches: (_, text) => text.startsWith("ustar", 257),
  },
  {
    kind: "hdf5",
    name: "an HDF5 file (Keras)",
    advice: READ_INSTEAD,
    matches: (_, text) => text.startsWith("\x89HDF\r\n\x1a\n"),
  },
  {
    kind: "npy",
    name: "a NumPy .npy array",
    advice: READ_INSTEAD,
    matches: (_, text) => text.startsWith("\x93NUMPY"),
  },
  {
    kind: "tflite",
    name: "a TensorFlow Lite model",
    advice: READ_INSTEAD,
    matches: (_, text) => text.startsWith("TFL3", 4),
  },
  {
    kind: "gzip",
    name: "gzip-compressed",
    advice: UNPACK,
    matches: (_, text) => text.startsWith("\x1f\x8b\x08"),
  },
  {
    kind: "compressed",
    name: "a compressed file (zstd, xz, bzip2 or 7-Zip)",
    advice: UNPACK,
    matches: (_, text) =>
      /^(?:\x28\xb5\x2f\xfd|\xfd7zXZ\0|BZh[1-9]1AY|7z\xbc\xaf\x27\x1c)/.test(text),
  },
  {
    kind: "msgpack",
    name: "a msgpack file (Flax)",
    advice: READ_INSTEAD,
    matches: (_, text) =>
      /^(?:[\x81-\x8f]|\xde..|\xdf.{4})(?:[\xa1-\xbf]|\xd9.)[\w./ -]/s.test(text),
  },
  {
    kind: "onnx",
    name: "an ONNX model, by its looks",
    advice: READ_INSTEAD,
    // ir_version, then producer_name, domain, graph or opset_import
    matches: (_, text) => /^\x08[\x01-\x20](?:\x12[\x01-\x40][\w.]|[\x1a\x22\x3a\x42])/.test(text),
  },
];

/** What the first bytes of a file say that it is; undefined when they say nothing we know. */
export function recogniseContainer(firstBytes: Uint8Array): Container | undefined {
  const probe = firstBytes.subarray(0, CONTAINER_PROBE_BYTES);
  const text = Buffer.from(probe.buffer, probe.byteOffset, probe.byteLength).toString("latin1");
  return MAGICS.find(({ matches }) => matches(probe, text));
}

/** The refusal of a file that was given as a model: E_PICKLE for pickles, else E_CONTAINER. */
export function refuseContainer(label: string, container: Container): SpInferError {
  const isPickle = container.kind === "pickle" || container.kind === "zip-pickle";
  return new SpInferError(
    isPickle ? "E_PICKLE" : "E_CONTAINER",
    `${label}: the file is ${container.name}${isPickle ? "; SpInfer never opens pickles" : ""}`,
    { path: label, found: container.kind, hint: container.advice },
  );
}

function isZip(text: string): boolean {
  return /^PK(?:\x03\x04|\x05\x06|\x07\x08)/.test(text);
}

/** Name of the first file in a zip archive, as far as it is in the bytes. */
function firstMember(bytes: Uint8Array, text: string): string {
  if (bytes.length < 30) return "";
  const length = bytes[26]! + bytes[27]! * 256;
  return text.slice(30, 30 + length);
}

/** Protocols 2 to 5: PROTO, the version, then an opcode (a frame, a mark, a container, a global). */
function isBinaryPickle(bytes: Uint8Array): boolean {
  return bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5;
}

/** Protocols 0 and 1 begin with an opcode for a list, a dictionary or a global. */
function isTextPickle(text: string): boolean {
  return /^(?:\((?:lp|dp|i|c)\w|c[A-Za-z_][\w.]*\r?\n\w|[\]}]q[\0-\x0f])/.test(text);
}
