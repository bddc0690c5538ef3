/**
 * The keys of a storage: all below one prefix. `/` in keys makes directories, which exist while they contain something.
 */
import { type BackupError, fail } from "../../base/errors";
import { checkDirectoryPath, checkPath, joinPath, requireUnicode } from "../paths";
import type { ListOptions, ObjectInfo } from "../storage";

export interface ListedKey {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

export interface KeyPage {
  readonly objects: readonly ListedKey[];
  /** Each ends in `/`. */
  readonly folders: readonly string[];
}

export interface ListedPage extends KeyPage {
  /** Parameters of the request for the next page; null on the last. */
  readonly next: Readonly<Record<string, string>> | null;
}

/** Lists what a query of `prefix` and `delimiter` asks for; `doing` follows "unable to". */
export type ListKeys = (query: Readonly<Record<string, string>>, doing: string) => AsyncIterable<KeyPage>;

export interface KeyPrefixOptions {
  readonly scheme: "azure" | "gs" | "s3";
  /** Bucket or container. */
  readonly bucket: string;
  /** May begin and end with slashes. */
  readonly path: string;
  /** Name of the service, for messages. */
  readonly title: string;
}

const REMOVE_BATCH = 1000;

export class KeyPrefix {
  /** `s3://bucket/prefix`. */
  readonly name: string;
  /** Without a slash at its ends; may be empty. */
  readonly prefix: string;
  readonly #title: string;

  constructor({ bucket, path, scheme, title }: KeyPrefixOptions) {
    this.prefix = path.replace(/^\/+|\/+$/g, "");
    if (this.prefix !== "") checkPath(this.prefix);
    this.name = `${scheme}://${joinPath(bucket, this.prefix)}`;
    this.#title = title;
  }

  /** @throws featureNotSupported for a path that is no UTF-8 */
  keyOf(path: string): string {
    const key = joinPath(this.prefix, path);
    requireUnicode(key, this.#title);
    return key;
  }

  pathOf(key: string): string {
    return this.prefix === "" ? key : key.slice(this.prefix.length + 1);
  }

  nameOf(path: string): string {
    return joinPath(this.name, path);
  }

  /** The query for what is below `prefix`, which may end within a name; with `delimiter` nothing behind a slash. */
  queryBelow(prefix: string, delimiter: "/" | null): { readonly prefix?: string; readonly delimiter?: string } {
    const whole = this.prefix === "" ? prefix : `${this.prefix}/${prefix}`;
    return { ...(whole === "" ? {} : { prefix: whole }), ...(delimiter === null ? {} : { delimiter }) };
  }

  async *list(path: string, options: ListOptions, ask: ListKeys): AsyncIterable<ObjectInfo> {
    checkDirectoryPath(path);
    const directory = this.keyOf(path);
    const prefix = `${directory === "" ? "" : `${directory}/`}${options.namePrefix ?? ""}`;
    const query = { ...(prefix === "" ? {} : { prefix }), ...(options.recursive === true ? {} : { delimiter: "/" }) };
    for await (const { objects, folders } of ask(query, `list '${this.nameOf(path)}'`)) {
      for (const folder of folders)
        yield { path: this.pathOf(folder.replace(/\/$/, "")), type: "directory", sizeBytes: 0, modifiedAtMs: 0 };
      for (const { key, sizeBytes, modifiedAtMs } of objects) {
        // Consoles create empty objects named like directories.
        if (!key.endsWith("/")) yield { path: this.pathOf(key), type: "file", sizeBytes, modifiedAtMs };
      }
    }
  }

  /** Gives all keys below a directory to `remove`, in batches. */
  async removeBelow(path: string, ask: ListKeys, remove: (keys: readonly string[]) => Promise<unknown>): Promise<void> {
    checkPath(path);
    let batch: string[] = [];
    for await (const { objects } of ask({ prefix: `${this.keyOf(path)}/` }, `list '${this.nameOf(path)}'`)) {
      for (const { key } of objects) {
        batch.push(key);
        if (batch.length < REMOVE_BATCH) continue;
        await remove(batch);
        batch = [];
      }
    }
    if (batch.length > 0) await remove(batch);
  }

  /** The error for a symbolic link, which no object store has. */
  linkError(path: string): BackupError {
    const text = `unable to link '${this.nameOf(path)}': this storage has no symbolic links`;
    return fail("featureNotSupported", text, { path });
  }
}
