// A GPU process that hands a kernel addresses that are none, as no code of ours would.
import koffi from "koffi";

const library = koffi.load(process.argv[2]);
const decode = library.func("int32_t spinfer_decode(void *w, uint64_t dense, void *stream)");
const open = library.func("int32_t spinfer_session_open(void *out)");
const draw = library.func("int32_t spinfer_session_draw(void *session, void *request, void *out)");
const lastError = library.func("const char *spinfer_last_error()");
const matrix = koffi.struct({
  payload: "uint64_t",
  offsets: "uint64_t",
  rows: "uint32_t",
  cols: "uint32_t",
  max_chunk_bytes: "uint32_t",
  value_dtype: "uint8_t",
  value_order: "uint8_t",
  reserved: "uint16_t",
});

process.on("message", ({ id }) => {
  const session = Buffer.alloc(8);
  open(session);
  const bytes = Buffer.alloc(koffi.sizeof(matrix));
  koffi.encode(bytes, matrix, {
    payload: 0x1000,
    offsets: 0x1000,
    rows: 64,
    cols: 64,
    max_chunk_bytes: 4352,
    value_dtype: 1,
    value_order: 1,
    reserved: 0,
  });
  decode(bytes, 0x1000, null);
  const request = Buffer.alloc(32);
  request.writeUInt32LE(64, 0);
  request.writeUInt32LE(64, 4);
  request.writeDoubleLE(0.5, 16);
  request.writeUInt8(1, 24);
  const status = draw(koffi.decode(session, "void *"), request, Buffer.alloc(48));
  process.send({ id, failure: { status, message: lastError() } });
});
