/**
 * Runs the `zfs` program ("zfs-list", "zfs-clone", "zfs-promote", "zfsprops" of OpenZFS 2.x). `-Hp` is its output
 * format for programs.
 */
import { fail } from "../../base/errors";
import type { ProgramEnd } from "../../local/program";

export interface Dataset {
  readonly name: string;
  readonly mountPoint: string;
  /** Properties set on it, which a clone would lack; without its mount point. */
  readonly properties: Readonly<Record<string, string>>;
}

export interface Snapshot {
  readonly name: string;
  readonly createdAtS: number;
}

export type RunZfs = (args: readonly string[]) => Promise<ProgramEnd>;

export class Zfs {
  readonly #run: RunZfs;

  constructor(run: RunZfs) {
    this.#run = run;
  }

  /** @throws execute (102) without such a file system, or without ZFS */
  async dataset(name: string): Promise<Dataset> {
    const mountPoint = (await this.#ask("get", "-Hp", "-o", "value", "mountpoint", name)).trim();
    if (!mountPoint.startsWith("/")) {
      throw fail("featureNotSupported", `'${name}' has mountpoint '${mountPoint}': ZFS does not mount it`, {
        hint: `Set a path (zfs set mountpoint=/path ${name}), or recover to a time: pgbackstop recover --type=time --target=….`,
      });
    }
    const local = await this.#ask("get", "-Hp", "-s", "local", "-o", "property,value", "all", name);
    const rows = local.split("\n").flatMap((line): [string, string][] => {
      const [property = "", value = ""] = line.split("\t");
      return property === "" || NOT_CLONED.has(property) ? [] : [[property, value]];
    });
    return { name, mountPoint, properties: Object.fromEntries(rows) };
  }

  /** Snapshots of one file system, oldest first. */
  async snapshots(dataset: string): Promise<Snapshot[]> {
    const text = await this.#ask(
      "list",
      "-Hp",
      "-t",
      "snapshot",
      "-o",
      "name,creation",
      "-s",
      "createtxg",
      "-d",
      "1",
      dataset,
    );
    return text.split("\n").flatMap((line) => {
      const [name = "", created = ""] = line.split("\t");
      return name === "" ? [] : [{ name, createdAtS: Number(created) }];
    });
  }

  async exists(name: string): Promise<boolean> {
    return (await this.#run(["list", "-H", "-o", "name", name])).exitCode === 0;
  }

  /** The snapshot that a clone comes from; null when it is not a clone. */
  async origin(dataset: string): Promise<string | null> {
    const origin = (await this.#ask("get", "-Hp", "-o", "value", "origin", dataset)).trim();
    return origin === "-" ? null : origin;
  }

  async snapshot(name: string): Promise<void> {
    await this.#ask("snapshot", name);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#ask("rename", from, to);
  }

  async setMountPoint(dataset: string, path: string): Promise<void> {
    await this.#ask("set", `mountpoint=${path}`, dataset);
  }

  async clone(snapshot: string, dataset: string, properties: Readonly<Record<string, string>>): Promise<void> {
    await this.#ask(
      "clone",
      ...Object.entries(properties).flatMap(([name, value]) => (INHERITED.has(name) ? [] : ["-o", `${name}=${value}`])),
      snapshot,
      dataset,
    );
  }

  async promote(dataset: string): Promise<void> {
    await this.#ask("promote", dataset);
  }

  async #ask(...args: readonly string[]): Promise<string> {
    const { exitCode, stderr, stdout } = await this.#run(args);
    if (exitCode === 0) return stdout;
    throw fail("execute", `'zfs ${args.join(" ")}' ended with exit code ${exitCode}: ${stderr.trim()}`, {
      hint: "Run as root, or grant the account the right with zfs allow.",
    });
  }
}

/** Properties of encryption, which a clone has from its origin; `zfs clone` refuses them. */
const INHERITED = new Set(["encryption", "keyformat", "keylocation", "pbkdf2iters"]);
/** Properties that we set, or that belong to the location and not to the data. */
const NOT_CLONED = new Set(["mountpoint", "canmount", "quota", "reservation", "refreservation"]);
