/**
 * README's own program for a host, word for word: only address, keys and PostgreSQL's version are a test's host's, and
 * an S3 server of the test stands for Backblaze B2.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileFunction } from "node:vm";
import * as pulumi from "@pulumi/pulumi";
import type { PostgresHostArgs } from "../../../components/databases/hostArgs";
import { PostgresHost } from "../../../components/databases/postgresHost";
import type { B2RepositoryArgs } from "../../../components/repositories/b2Repository";
import { PosixRepository } from "../../../components/repositories/posixRepository";
import { S3CompatibleRepository } from "../../../components/repositories/s3CompatibleRepository";
import { projectFolder } from "../../../tools/parts/cache";
import type { S3Server } from "../../../tools/parts/servers/s3Server";
import { bucketOf } from "./declaredHost";
import type { DebianHost } from "./debianHost";

/** Parts of the test in the place of the program's examples. */
export interface ReadmeParts {
  readonly host: DebianHost;
  /** Folder of the file with the login's key. */
  readonly folder: string;
  readonly version: number;
  readonly server: S3Server;
  /** Arguments besides or instead of README's. */
  readonly over?: (args: PostgresHostArgs) => Partial<PostgresHostArgs>;
}

/** Runs it within a Pulumi program. @throws Error if README has another program */
export function runReadme({ folder, host, over, server, version }: ReadmeParts): PostgresHost {
  const keyFile = join(folder, `${host.name}-key`);
  writeFileSync(keyFile, host.keys.root, { mode: 0o600 });
  const program = [
    ['host: "db1.example.com"', `host: "${host.ssh.host}", port: ${host.ssh.port}`],
    ['hostKeys: ["ssh-ed25519 AAAAC3…"]', `hostKeys: ${JSON.stringify(host.hostKeys)}`],
    ['"~/.ssh/id_ed25519"', JSON.stringify(keyFile)],
    ['"/var/lib/postgresql/18/main"', `"/var/lib/postgresql/${version}/main"`],
  ].reduce((text, [example = "", own = ""]) => replaced(text, example, own), hostProgram());
  const made: PostgresHost[] = [];
  const shown = {
    PosixRepository,
    B2Repository: class extends S3CompatibleRepository {
      constructor(name: string, { encrypt }: B2RepositoryArgs) {
        // A destroy ends the test.
        super(name, { ...bucketOf(server), ...(encrypt === undefined ? {} : { encrypt }) }, { protect: false });
      }
    },
    PostgresHost: class extends PostgresHost {
      constructor(name: string, args: PostgresHostArgs, opts?: pulumi.ComponentResourceOptions) {
        super(name, { ...args, ...over?.(args) }, opts);
        made.push(this);
      }
    },
  };
  compileFunction(program, ["pgbackstop", "exports"])(shown, {});
  const [declared] = made;
  if (declared === undefined || made.length !== 1) throw new Error("README's program makes no host, or several");
  return declared;
}

/** The program below README's heading "A host", as a script. */
function hostProgram(): string {
  const text = readFileSync(join(projectFolder(), "README.md"), "utf8");
  const [, program] = /\n## A host\n+```ts\n([^]*?)```/.exec(text) ?? [];
  if (program === undefined) throw new Error("README has no program for a host");
  return program
    .replace(/^import (\{.*\}) from "pgbackstop";$/m, "const $1 = pgbackstop;")
    .replaceAll(/^export const (\w+)/gm, "exports.$1");
}

function replaced(text: string, example: string, own: string): string {
  if (!text.includes(example)) throw new Error(`README's program for a host has no ${example}`);
  return text.replace(example, () => own);
}
