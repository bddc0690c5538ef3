/**
 * Values that cross the boundary of a thread or a process: plain data with {@link BackupError} and {@link Secret},
 * which structured cloning would change.
 */
import { BackupError, ERRORS, type ErrorKind } from "./errors";
import { Secret } from "./secret";

const TAG = "\u0000pgbackstop";

export function pack(value: unknown): unknown {
  if (value instanceof Secret) return { [TAG]: "secret", value: value.reveal() };
  if (value instanceof BackupError) {
    const { kind, message, hints, repoIndex, path, retryable, stack } = value;
    return { [TAG]: "error", kind, message, hints, repoIndex, path, retryable, stack };
  }
  return mapChildren(value, pack);
}

export function unpack(value: unknown): unknown {
  if (isTagged(value, "secret")) return new Secret(String(value.value));
  if (isTagged(value, "error")) {
    const kind = String(value.kind) in ERRORS ? (value.kind as ErrorKind) : "unhandled";
    const error = new BackupError(kind, String(value.message), {
      hint: value.hints as readonly string[],
      ...(typeof value.repoIndex === "number" ? { repoIndex: value.repoIndex } : {}),
      ...(typeof value.path === "string" ? { path: value.path } : {}),
      retryable: value.retryable === true,
    });
    error.stack = String(value.stack);
    return error;
  }
  return mapChildren(value, unpack);
}

function isTagged(value: unknown, tag: string): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && TAG in value && (value as Record<string, unknown>)[TAG] === tag;
}

/**
 * Returns the value itself if no child changes: most jobs and results hold neither an error nor a secret, and there are
 * many.
 */
function mapChildren(value: unknown, map: (child: unknown) => unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    let copy: unknown[] | undefined;
    for (let index = 0; index < items.length; index++) {
      const mapped = map(items[index]);
      if (mapped !== items[index]) (copy ??= [...items])[index] = mapped;
    }
    return copy ?? value;
  }
  const record = value as Record<string, unknown>;
  let copy: Record<string, unknown> | undefined;
  for (const name in record) {
    const mapped = map(record[name]);
    if (mapped !== record[name]) (copy ??= { ...record })[name] = mapped;
  }
  return copy ?? value;
}
