/**
 * Calls the runtime that `pulumi up` installed like an operator would: by its command line, as the database's account.
 */
import { join } from "node:path";
import { type RunResult, run } from "../parts/process";
import type { TestCluster } from "../parts/postgres/testCluster";

export interface RepositoryState {
  readonly key: number;
  readonly statusCode: number;
  readonly missingWalCount: number;
  readonly walMin: string | null;
  readonly walMax: string | null;
  readonly backups: readonly BackupState[];
}

export interface BackupState {
  readonly label: string;
  readonly sizeBytes: number;
  readonly repositoryBytes: number;
  readonly walStart: string;
  readonly walStop: string;
  readonly seconds: number;
}

interface InfoJson {
  readonly archive: readonly {
    readonly database: { readonly "repo-key": number };
    readonly max: string | null;
    readonly min: string | null;
  }[];
  readonly backup: readonly {
    readonly archive: { readonly start: string; readonly stop: string };
    readonly database: { readonly "repo-key": number };
    readonly info: { readonly size: number; readonly repository: { readonly size: number } };
    readonly label: string;
    readonly timestamp: { readonly start: number; readonly stop: number };
  }[];
  readonly repo: readonly {
    readonly key: number;
    readonly status: { readonly code: number };
    readonly "wal-missing"?: number;
  }[];
}

export class Runtime {
  readonly folder: string;
  readonly #cluster: TestCluster;
  readonly #nodePath: string;

  constructor(cluster: TestCluster, folder: string, nodePath: string) {
    this.#cluster = cluster;
    this.folder = folder;
    this.#nodePath = nodePath;
  }

  /** The arguments of a call, for people to copy. */
  argv(args: readonly string[]): string[] {
    return [
      this.#nodePath,
      join(this.folder, "lib", "runtime.cjs"),
      `--config-path=${join(this.folder, "etc")}`,
      "--stanza=demo",
      ...args,
    ];
  }

  call(args: readonly string[], onLine?: (line: string) => void): Promise<RunResult> {
    const [program = "", ...argv] = this.argv(args);
    return run(program, argv, {
      user: this.#cluster.user,
      cwd: this.folder,
      ...(onLine === undefined ? {} : { onLine }),
    });
  }

  /** @throws Error with the output if the exit code is not 0 */
  async callOk(args: readonly string[], onLine?: (line: string) => void): Promise<string> {
    const result = await this.call(args, onLine);
    if (result.exitCode !== 0)
      throw new Error(`${args.join(" ")}: exit code ${result.exitCode}\n${result.stdout}${result.stderr}`);
    return result.stdout;
  }

  /** `only`: for example `--repo=1`, to skip a repository that is down. */
  async state(only: readonly string[] = []): Promise<RepositoryState[]> {
    const text = await this.callOk([...only, "--log-level-console=off", "--output=json", "info"]);
    const [info] = JSON.parse(text) as InfoJson[];
    if (info === undefined) throw new Error("info prints no stanza");
    return info.repo.map((repo) => {
      const archive = info.archive.find((row) => row.database["repo-key"] === repo.key);
      return {
        key: repo.key,
        statusCode: repo.status.code,
        missingWalCount: repo["wal-missing"] ?? 0,
        walMin: archive?.min ?? null,
        walMax: archive?.max ?? null,
        backups: info.backup
          .filter((row) => row.database["repo-key"] === repo.key)
          .map((row) => ({
            label: row.label,
            sizeBytes: row.info.size,
            repositoryBytes: row.info.repository.size,
            walStart: row.archive.start,
            walStop: row.archive.stop,
            seconds: row.timestamp.stop - row.timestamp.start,
          })),
      };
    });
  }
}
