/**
 * Renders the runbook of each example from its program. Other tests run the commands: hosts on a booted Debian
 * (test/hosts/agent.test.ts), local on this machine (test/engine/host.test.ts), clusters in Kubernetes
 * (test/kubernetes/runbook.test.ts, test/kubernetes/barman.test.ts). This file proves that the commands are the same. A
 * shell and the compiler parse the remaining ones.
 */
// claim: docs/runbook.md: the runbook of each example: parsed by a shell and the compiler, with the same commands as
//   the ones that tests run
import { spawnSync } from "node:child_process";
import * as pulumi from "@pulumi/pulumi";
import ts from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import { runbookOf } from "../../../../components/plan/runbook/databaseRunbook";
import type { DatabaseRunbook, RunbookScenario } from "../../../../components/plan/runbook/runbookDocument";
import { type Topology, topologyOf } from "../../../../components/plan/topology/topology";
import { renderRunbook } from "../../../../components/render/runbook/runbookMarkdown";
import { DEFAULT_PEOPLE } from "../../../../components/render/runbook/people";
import { program as attach } from "../../../../examples/cnpg-attach/program";
import { program as b2R2 } from "../../../../examples/cnpg-b2-r2/program";
import { program as minio } from "../../../../examples/cnpg-barman-minio/program";
import { program as composeApp } from "../../../../examples/compose-app/program";
import { program as immich } from "../../../../examples/immich/program";
import { program as local } from "../../../../examples/local/program";
import { program as newServer } from "../../../../examples/new-server/program";
import { program as supabase } from "../../../../examples/supabase/program";
import { program as vpsB2 } from "../../../../examples/vps-b2/program";
import { program as vpsNasR2 } from "../../../../examples/vps-nas-r2/program";
import { resolved } from "../../clusters";
import { topology } from "../../topologies";

const KEYS = { accessKeyId: "0123456789abcdef0123456789abcdef", secretAccessKey: "never-to-be-seen-0123456789" };
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl backup";
const NODE = { nodePath: "/usr/bin/node" };
const ACCOUNT = "0123456789abcdef0123456789abcdef";
const IMAGE = "ghcr.io/tensorchord/cloudnative-vectorchord:18-1.0.0";

type Outputs = Readonly<Record<string, pulumi.Output<unknown>>>;
const EXAMPLES: Readonly<Record<string, () => Outputs>> = {
  local: () =>
    local({
      dataDirectory: "/var/lib/postgresql/18/main",
      nasPath: "/mnt/nas",
      bucket: { name: "my-backups", endpoint: "s3.example.net", region: "us-east-1", ...KEYS },
    }),
  "vps-nas-r2": () => vpsNasR2({ accountId: ACCOUNT, bucket: "nix-homelab-prod-servers", ...KEYS, host: NODE }),
  "vps-b2": () =>
    vpsB2({
      bucket: "acme-pg-backups",
      backupHost: {
        host: "backup.example.net",
        user: "pgbackrest",
        hostKey: HOST_KEY,
        privateKey: KEYS.secretAccessKey,
      },
      host: NODE,
    }),
  immich: () =>
    immich({
      server: "home.example.com",
      hostKey: HOST_KEY,
      composeFile: "/srv/immich/docker-compose.yml",
      nasPath: "/mnt/nas",
      bucket: "acme-immich-pg",
    }),
  "compose-app": () =>
    composeApp({
      server: "git.example.com",
      hostKey: HOST_KEY,
      composeFile: "/srv/gitea/compose.yaml",
      backupHost: {
        host: "backup.example.net",
        user: "pgbackrest",
        hostKey: HOST_KEY,
        privateKey: KEYS.secretAccessKey,
      },
      bucket: "acme-gitea-pg",
    }),
  supabase: () =>
    supabase({
      server: "supabase.example.com",
      hostKey: HOST_KEY,
      r2: { accountId: ACCOUNT, bucket: "acme-supabase-pg", ...KEYS },
      b2Bucket: "acme-supabase-pg-2",
    }),
  "new-server": () =>
    newServer({
      bucket: "acme-orders-pg",
      near: { host: "box.example.net", port: 23, user: "u1", hostKey: HOST_KEY, privateKey: KEYS.secretAccessKey },
      serverType: "cx23",
      location: "fsn1",
    }),
  "cnpg-attach": () => attach({ namespace: "db", clusterName: "legacy", keys: KEYS }),
  "cnpg-b2-r2": () =>
    b2R2({
      accountId: ACCOUNT,
      buckets: { immich: "acme-immich", others: "acme-others" },
      immichImage: `${IMAGE}@sha256:${"0123456789abcdef".repeat(4)}`,
    }),
  "cnpg-b2-r2 with Dalibo's plugin": () =>
    b2R2({
      accountId: ACCOUNT,
      buckets: { immich: "acme-immich", others: "acme-others" },
      engine: "pgbackrest",
      immichImage: `${IMAGE}@sha256:${"0123456789abcdef".repeat(4)}`,
    }),
  "cnpg-barman-minio": () => minio({ app: "app", namespace: "app", clusterName: "app-db" }),
};

const books = new Map<string, readonly DatabaseRunbook[]>();
beforeAll(async () => {
  const made = {
    applicationKeyId: "id",
    applicationKey: KEYS.secretAccessKey,
    passphrase: KEYS.secretAccessKey,
    publicKeyOpenssh: HOST_KEY,
    privateKeyOpenssh: KEYS.secretAccessKey,
    ipv4Address: "203.0.113.10",
  };
  await pulumi.runtime.setMocks(
    {
      call: () => ({}),
      newResource: ({ inputs, name, type }) => ({
        id: type.endsWith("B2Bucket") ? "s3.eu-central-003.backblazeb2.com/bucket" : name,
        state: { ...(inputs as object), ...made },
      }),
    },
    "shop",
    "prod",
  );
  for (const [name, program] of Object.entries(EXAMPLES)) {
    const outputs = program();
    const texts = ["topology", "immich", "others"].flatMap((each) => outputs[each] ?? []);
    const known = await Promise.all(
      texts.map((text) => new Promise<string>((resolve) => void text.apply((value) => resolve(String(value))))),
    );
    books.set(
      name,
      known.map((text) => runbookOf(JSON.parse(text) as Topology) ?? expect.fail(`${name} has no runbook`)),
    );
  }
  await pulumi.runtime.disconnect();
});

const booksOf = (name: string): readonly DatabaseRunbook[] => books.get(name) ?? expect.fail(`there is no ${name}`);
const commandsOf = ({ steps }: RunbookScenario, language: "sh" | "ts" = "sh"): string[] =>
  steps.filter((step) => (step.language ?? "sh") === language).flatMap(({ commands }) => commands);
/** Scenarios whose commands a test runs on a booted host. */
const ON_A_HOST = ["latest", "time", "repository-2", "set", "archiving", "repository-1-lost"];

describe.each(Object.keys(EXAMPLES))("the runbook of example %s", (name) => {
  test("has commands that a shell and the compiler can parse, an explanation of each placeholder, and no secret", () => {
    const own = booksOf(name);
    expect(own.length).toBe(name.startsWith("cnpg-b2-r2") ? 2 : 1);
    for (const book of own) {
      const shell = book.scenarios
        .flatMap((scenario) => commandsOf(scenario))
        .map((line) => line.replaceAll(/<[A-Z]+>/g, "word"));
      expect(spawnSync("bash", ["-n"], { input: shell.join("\n"), encoding: "utf8" })).toMatchObject({
        status: 0,
        stderr: "",
      });
      for (const scenario of book.scenarios) {
        const program = commandsOf(scenario, "ts").join("\n").replaceAll(/<GIB>/g, "50");
        const { diagnostics } = ts.transpileModule(program, {
          reportDiagnostics: true,
          compilerOptions: { target: ts.ScriptTarget.ESNext },
        });
        expect([program, diagnostics]).toEqual([program, []]);
      }
      const text = renderRunbook(own, DEFAULT_PEOPLE, "Made of an example.");
      expect(text).not.toContain(KEYS.secretAccessKey);
      const args = book.scenarios
        .flatMap((scenario) => commandsOf(scenario))
        .flatMap((line) => line.match(/<[A-Z]+>/g) ?? []);
      for (const arg of args) expect(text).toContain(`- \`${arg}\`: `);
    }
  });
});

describe("the commands that other tests run", () => {
  /** The host of test/hosts/agent.test.ts: a directory first, a bucket second. */
  const host = (): DatabaseRunbook =>
    runbookOf(topology({ dataDirectory: "/var/lib/postgresql/15/main" })) ?? expect.fail("there is no runbook");

  test.each(["vps-nas-r2", "vps-b2", "local"])("equal those of example %s", (name) => {
    const [book] = booksOf(name);
    for (const id of ON_A_HOST) {
      const [ours, theirs] = [host(), book].map(
        (each) => each?.scenarios.find((scenario) => scenario.id === id) ?? expect.fail(`there is no ${id}`),
      );
      const same = (lines: readonly string[]): string[] =>
        lines.map((line) => line.replaceAll(/pgbackstop-(main|pg-cluster)-agent|\/var\/lib\S*/g, "…"));
      expect([id, same(commandsOf(theirs as RunbookScenario))]).toEqual([
        id,
        same(commandsOf(ours as RunbookScenario)),
      ]);
    }
  });

  test.each(["cnpg-b2-r2", "cnpg-attach"])("equal those of example %s, except for its names", (name) => {
    const ours = runbookOf(
      JSON.parse(JSON.stringify(topologyOf(resolved({ instances: 2, namespace: "lab" }).database))) as Topology,
    );
    for (const book of booksOf(name)) {
      const namespace = /namespace (\S+),/.exec(book.what)?.[1] ?? "";
      const general = (lines: readonly string[], cluster: string, location: string): string[] =>
        lines.map((line) =>
          line
            .replaceAll(cluster, "CLUSTER")
            .replaceAll(`-n ${location} `, "-n PLACE ")
            .replaceAll(`"${location}"`, '"PLACE"')
            .replace(/(-n|namespace) (?:lab|database|db)$/, "$1 PLACE"),
        );
      const cluster = /Cluster (\S+) of/.exec(book.what)?.[1] ?? "";
      for (const scenario of book.scenarios) {
        const own = ours?.scenarios.find(({ id }) => id === scenario.id);
        expect([scenario.id, general(commandsOf(scenario), cluster, namespace)]).toEqual([
          scenario.id,
          general(commandsOf(own ?? scenario), "orders", "lab"),
        ]);
        expect(own).toBeDefined();
      }
    }
  });
});
