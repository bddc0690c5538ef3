/**
 * The call's side: asks the process that an earlier call has left. Part of the bundle's head, so that a call that is
 * answered loads no program.
 *
 * Lines of JSON. The process greets first, so that a call which has not waited for it is never run later. It sends a
 * sign of life each second. A call that is not greeted in time, or hears nothing for a while, does the work itself: its
 * connection ends, which aborts what the process still does for it. Only the process' exit code counts as an answer.
 */
import { unlinkSync } from "node:fs";
import { connect } from "node:net";

/** What the process writes. */
export type FromProcess =
  | { readonly kind: "ready" }
  | { readonly kind: "alive" }
  | { readonly kind: "out" | "err"; readonly text: string }
  | { readonly kind: "exit"; readonly code: number };

/** What the call writes: once, then signals. */
export type FromCall =
  | { readonly kind: "run"; readonly args: readonly string[]; readonly workingDirectory: string }
  | { readonly kind: "signal"; readonly name: NodeJS.Signals };

export interface AskParts {
  readonly args: readonly string[];
  readonly workingDirectory: string;
  readonly write: (kind: "out" | "err", text: string) => void;
  /** Calls back for each signal that should end the call; returns what stops that. */
  readonly onSignal: (pass: (name: NodeJS.Signals) => void) => () => void;
}

export interface AskTimes {
  readonly greetedMs: number;
  readonly silentMs: number;
}

const TIMES: AskTimes = { greetedMs: 500, silentMs: 5000 };
/** Exit code of stock's TermError. */
const TERM_CODE = 63;

/** The exit code; null if there is no answer, and the call must do the work itself. */
export function askStaying(path: string, parts: AskParts, times = TIMES): Promise<number | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let isSignalled = false;
    let isRunning = false;
    const send = (message: FromCall): void => void socket.write(`${JSON.stringify(message)}\n`);
    const forget = parts.onSignal((name) => {
      isSignalled = true;
      if (isRunning) send({ kind: "signal", name });
      else end(null);
    });
    const end = (code: number | null): void => {
      forget();
      socket.destroy();
      resolve(code ?? (isSignalled ? TERM_CODE : null));
    };
    const remove = (): void => {
      try {
        // A process that does not answer would delay every call. When it wakes, it sees that its name is gone.
        unlinkSync(path);
      } catch {
        // Another call was faster.
      }
    };
    const hear = (message: FromProcess): void => {
      if (message.kind === "exit") end(message.code);
      else if (message.kind === "out" || message.kind === "err") parts.write(message.kind, message.text);
      else if (message.kind === "ready") {
        isRunning = true;
        const { args, workingDirectory } = parts;
        send({ kind: "run", args, workingDirectory });
        socket.setTimeout(times.silentMs);
      }
    };
    socket.setTimeout(times.greetedMs, () => {
      remove();
      end(null);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") remove();
      end(null);
    });
    socket.on("close", () => end(null));
    hearLines(
      socket,
      (message) => hear(message as FromProcess),
      () => end(null),
    );
  });
}

/** Calls back for each line's value, or once with what is no JSON. */
export function hearLines(
  socket: NodeJS.ReadableStream,
  hear: (message: unknown) => void,
  refuse: () => void,
  sizeMax = Number.POSITIVE_INFINITY,
): void {
  let rest = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    rest += chunk;
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    try {
      if (rest.length > sizeMax) throw new Error("the line is too long");
      for (const line of lines) hear(JSON.parse(line));
    } catch {
      refuse();
    }
  });
}
