/** What the two ends of a storage process's channel say to each other. */

/** The directory that a storage process serves: {@link PosixOptions} as plain data. */
export interface Served {
  readonly root: string;
  readonly syncDirectories: boolean;
  readonly symlinks: boolean;
  readonly hardLinks: boolean;
}

/** Methods of {@link Storage} with plain arguments and results. */
export type PlainMethod =
  | "create"
  | "hardLink"
  | "link"
  | "makePath"
  | "probe"
  | "put"
  | "remove"
  | "removeDirectory"
  | "space"
  | "stat"
  | "syncPath";

/**
 * A request. `open` comes first. `read`, `list` and `putStream` begin a transfer under their own id: `next` asks for
 * its next part, `chunk` brings one, `end` and `stop` finish it. The frame's body is the bytes of `put`, `create` and
 * `chunk`.
 */
export type Call =
  | { readonly do: "open"; readonly version: string; readonly served: Served }
  | { readonly do: "owner" }
  | { readonly do: PlainMethod | "removePath" | "read" | "list" | "putStream"; readonly args: readonly unknown[] }
  | { readonly do: "next" | "chunk" | "end" | "stop"; readonly transfer: number };

export type Request = Call & { readonly id: number };

export type Answer =
  | { readonly id: number; readonly value?: unknown }
  | { readonly id: number; readonly error: unknown }
  /** Not finished, but the file system has answered in the meantime. */
  | { readonly id: number; readonly progress: true };

/** Bytes of a file that travel together. */
export const CHUNK_SIZE_BYTES = 1024 * 1024;
