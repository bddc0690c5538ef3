/**
 * Runs the runtime as users do: the built bundle under a Node that the server's account can access.
 *
 * `PGBACKSTOP_RUNTIME` selects a bundle other than dist/runtime.cjs.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";
import { ensureNode } from "../../../tools/parts/nodeBinary";
import { run } from "../../../tools/parts/process";
import { giveTo, type OsUser, reachable } from "../../../tools/parts/users";
import { holdsSecret } from "../compare/secrets";

export interface RuntimeProgram {
  readonly node: string;
  /** The path of the bundle. */
  readonly file: string;
}

/**
 * The first run, by the bundle's owner, stores the compiled code beside the bundle (runtime/start.ts). The server's
 * account cannot write there. Without that run, every `archive_command` of a test as root would compile the whole
 * program, which takes 30 ms of processor time each.
 */
let keptCompiled: Promise<unknown> | undefined;

/** @throws Error if there is no bundle */
export async function findRuntime(): Promise<RuntimeProgram> {
  const file = process.env["PGBACKSTOP_RUNTIME"] ?? join(projectFolder(), "dist", "runtime.cjs");
  if (!existsSync(file)) throw new Error(`there is no ${file}: npm run build makes it`);
  const program = { node: reachable(await ensureNode()), file: reachable(file) };
  keptCompiled ??= run(program.node, [program.file, "version"]);
  await keptCompiled;
  return program;
}

/** Options by name; null removes an option that would otherwise be written. */
export type Options = Readonly<Record<string, string | null>>;

export interface ConfigContent {
  /** The section `[global]`. */
  readonly global: Options;
  /** The section `[<stanza>]`. */
  readonly stanza: Options;
  /** The content of pgbackstop.json. */
  readonly settings: object;
}

const SECRET_NAME = /-(azure-key|cipher-pass|gcs-key|s3-key|s3-key-secret|s3-token|sftp-private-key-passphrase)$/;

/**
 * Writes pgbackrest.conf, conf.d/secrets.conf and pgbackstop.json into `folder`, as on a host: only the secrets belong
 * to `user`.
 */
export function writeConfig(folder: string, stanza: string, content: ConfigContent, user: OsUser): void {
  const all = Object.entries(content.global);
  const plain = all.filter(([name]) => !SECRET_NAME.test(name));
  const secret = all.filter(([name]) => SECRET_NAME.test(name));
  mkdirSync(join(folder, "conf.d"), { recursive: true });
  const files: [string, string][] = [
    ["pgbackrest.conf", `${sectionText("global", plain)}\n${sectionText(stanza, Object.entries(content.stanza))}`],
    ["conf.d/secrets.conf", sectionText("global", secret)],
    ["pgbackstop.json", `${JSON.stringify(content.settings)}\n`],
  ];
  for (const [name, text] of files) writeFileSync(join(folder, name), text, { mode: 0o644 });
  for (const path of ["conf.d", "conf.d/secrets.conf"]) {
    chmodSync(join(folder, path), path === "conf.d" ? 0o700 : 0o600);
    giveTo(join(folder, path), user);
  }
}

function sectionText(name: string, options: readonly (readonly [string, string | null])[]): string {
  const lines = options.flatMap(([option, value]) => (value === null ? [] : [`${option}=${value}`]));
  return `[${name}]\n${lines.join("\n")}\n`;
}

/** Polls the command lines of all processes until `stop`, which returns those that contained one of `secrets`. */
export function watchCommandLines(
  secrets: readonly string[],
  pauseMs = 10,
): { stop(): { readonly seen: number; readonly leaks: string[] } } {
  const seen = new Set<string>();
  const look = (): void => {
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        seen.add(readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " "));
      } catch {
        // The process has ended meanwhile.
      }
    }
  };
  look();
  const timer = setInterval(look, pauseMs);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      const leaks = [...seen].filter((line) => holdsSecret(line, secrets));
      return { seen: seen.size, leaks };
    },
  };
}
