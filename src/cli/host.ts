/** The outside as the command line sees it: two streams and the environment. */

export interface Output {
  readonly isTty: boolean;
  readonly columns: number;
  write(text: string): void;
}

export interface Host {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function processHost(): Host {
  return {
    stdout: streamOutput(process.stdout),
    stderr: streamOutput(process.stderr),
    env: process.env,
  };
}

/** A reader that has gone (`| head`) is no error: what is left is not written. */
function streamOutput(stream: NodeJS.WriteStream): Output {
  let closed = false;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    closed = true;
  });
  return {
    isTty: stream.isTTY === true,
    get columns() {
      return stream.columns ?? 100;
    },
    write(text) {
      if (!closed) stream.write(text);
    },
  };
}
