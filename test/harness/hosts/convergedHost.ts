/**
 * A host in a folder of this machine, for the order of an update and what a killed one leaves. Commands, files, lock
 * and record are real; the runtime answers for a server and repositories that a JSON file describes. No systemd.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../components/host/connection";
import { convergeHost, type DesiredHost, readHost } from "../../../components/host/converge";
import type { DesiredFile } from "../../../components/host/desiredFiles";
import type { HostOutcome } from "../../../components/host/hostIdentity";
import { connectLocally } from "../../../components/host/localConnection";
import { removeHost } from "../../../components/host/removeHost";

/** Server and repositories of the host. */
export interface HostWorld {
  /** Values in effect; those of ALTER SYSTEM are in `automatic`. */
  values: Record<string, string>;
  automatic: Record<string, string>;
  isDown: boolean;
  /** By name; true with a full backup. */
  repositories: Record<string, boolean>;
  /** Version of PostgreSQL that the stanza is of, by repository; omitted without a stanza. */
  stanzas: Record<string, string>;
  /** The stanza's; that of the server is 1. */
  systemId: string;
  /** Repositories that cannot be read. */
  unreadable: string[];
  /** Verbs that fail. */
  failing: string[];
  /** Verbs that were run, without those that only read. */
  verbs: string[];
}

const RUNTIME = `
const { readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const file = join(__dirname, "..", "world.json");
const text = readFileSync(file, "utf8");
const world = JSON.parse(text);
const args = process.argv.slice(2).filter((each) => !/^--(config|stanza|log-level|output|detail-level)/.test(each));
const [verb] = args;
// Questions run at the same time.
const end = (code, answer) => {
  if (JSON.stringify(world) !== text) writeFileSync(file, JSON.stringify(world));
  console.log(answer);
  process.exit(code);
};
const dataDirectory = join(__dirname, "..", "data");
if (verb === "pg-settings") {
  if (world.isDown) end(56, "unable to connect");
  if (args[1] === "stdin") {
    for (const [name, value] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
      if (value === null) delete world.automatic[name]; else world.automatic[name] = value;
    }
    const quote = (text) => text.replaceAll("'", "''");
    const lines = Object.entries(world.automatic).map(([name, value]) => name + " = '" + quote(value) + "'\\n");
    writeFileSync(join(dataDirectory, "postgresql.auto.conf"), lines.join(""));
    world.verbs.push("pg-settings stdin");
  }
  const values = { ...world.values, ...world.automatic };
  const settings = Object.entries(values).map(([name, value]) => (
    { name, value, pendingRestart: false, automatic: world.automatic[name] ?? null, source: "default" }));
  end(0, JSON.stringify({ settings, serverVersion: 170004, dataDirectory, systemId: "1" }));
}
if (verb === "info") {
  const full = { label: "20261120-065325F", stop: 1700000000 };
  const repo = Object.entries(world.repositories).map(([name, has]) => {
    const key = Number(name.slice(4));
    if (world.unreadable.includes(name)) return { key, error: "[HostConnectError] unable to connect" };
    const version = world.stanzas[name];
    return { key, db: version === undefined ? null : { "system-id": world.systemId, version }, full: has ? full : null };
  });
  end(0, JSON.stringify([{ name: "main", repo }]));
}
if (verb === "version") end(0, "");
if (world.isDown && verb.endsWith("-drop")) end(56, "unable to connect");
world.verbs.push(args.join(" "));
if (world.failing.includes(verb)) end(1, verb + " fails");
if (verb === "backup") for (const name of Object.keys(world.repositories)) world.repositories[name] = true;
end(0, "");
`;

export const OWNER = "urn:pulumi:test::test::pgbackstop:index:PostgresHost::db";

export class ConvergedHost {
  readonly folder = mkdtempSync(join(tmpdir(), "host-"));
  readonly printed: string[] = [];
  /** Command lines since the last update or destroy began. */
  readonly commands: string[] = [];
  readonly #local = connectLocally();

  constructor(over: Partial<HostWorld> = {}) {
    const world: HostWorld = {
      values: { archive_mode: "on", archive_command: "", archive_library: "", wal_level: "replica" },
      automatic: {},
      isDown: false,
      repositories: { repo1: true },
      stanzas: {},
      systemId: "1",
      unreadable: [],
      failing: [],
      verbs: [],
      ...over,
    };
    this.world = world;
    for (const name of ["data", "lib"]) this.#make(name);
    writeFileSync(this.path("data", "PG_VERSION"), "17\n");
    this.writeAutoConf();
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  get world(): HostWorld {
    return JSON.parse(readFileSync(this.path("world.json"), "utf8")) as HostWorld;
  }

  set world(world: HostWorld) {
    writeFileSync(this.path("world.json"), JSON.stringify(world));
  }

  /** Changes the world, and ALTER SYSTEM's file with it. */
  change(over: Partial<HostWorld>): void {
    this.world = { ...this.world, ...over };
    this.writeAutoConf();
  }

  writeAutoConf(): void {
    const lines = Object.entries(this.world.automatic).map(([name, value]) => `${name} = '${value}'\n`);
    writeFileSync(this.path("data", "postgresql.auto.conf"), lines.join(""));
  }

  /** Verbs since the last call. */
  verbs(): string[] {
    const { verbs } = this.world;
    this.world = { ...this.world, verbs: [] };
    return verbs;
  }

  desired(over: Partial<DesiredHost> = {}, files: readonly DesiredFile[] = []): DesiredHost {
    const runtime = this.path("lib", "runtime.cjs");
    return {
      owner: OWNER,
      formerOwner: OWNER,
      stanza: "main",
      user: userInfo().username,
      dataDirectory: this.path("data"),
      directories: { config: this.path("etc"), units: this.path("units") },
      runtimeArgv: [process.execPath, runtime, `--config=${this.path("etc", "pgbackrest.conf")}`, "--stanza=main"],
      units: { enabled: [], restarted: [] },
      settings: { archive_command: `${runtime} archive-push` },
      allowRestart: false,
      restartCommand: [],
      files: [
        { path: runtime, mode: "0644", owner: "admin", content: RUNTIME },
        { path: this.path("etc", "pgbackrest.conf"), mode: "0644", owner: "admin", content: "[global]\n" },
        ...files,
      ],
      directoriesToMake: [{ path: this.path("etc"), mode: "0755", owner: "admin" }],
      directoriesToKeep: [],
      mounts: [],
      firstBackup: true,
      ...over,
    };
  }

  /**
   * @param killedAt part of the command line that the program is killed before
   * @param times which one of several
   */
  converge(
    desired: DesiredHost,
    known: HostOutcome | null = null,
    killedAt?: string,
    times?: number,
  ): Promise<HostOutcome> {
    return convergeHost(this.#connection(killedAt, times), desired, known, (line) => this.printed.push(line));
  }

  refresh(desired: DesiredHost, known: HostOutcome): Promise<HostOutcome> {
    const owners = Object.fromEntries(desired.files.map(({ owner, path }) => [path, owner]));
    return readHost(this.#connection(), desired, known, owners, (line) => this.printed.push(line));
  }

  destroy(desired: DesiredHost, known: HostOutcome, killedAt?: string): Promise<void> {
    return removeHost(this.#connection(killedAt), desired, known, (line) => this.printed.push(line));
  }

  async remove(): Promise<void> {
    await this.#local.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #make(name: string): void {
    mkdirSync(this.path(name), { recursive: true });
  }

  /** The connection of the next update. */
  connection(): Connection {
    return this.#connection();
  }

  #connection(killedAt?: string, times = 1): Connection {
    let left = times;
    this.commands.length = 0;
    return {
      ...this.#local,
      exec: async (argv, options) => {
        const command = argv.join(" ");
        if (left > 0 && killedAt !== undefined && command.includes(killedAt)) left--;
        if (left === 0) throw new Error("killed");
        this.commands.push(command);
        return this.#local.exec(argv, options);
      },
    };
  }
}
