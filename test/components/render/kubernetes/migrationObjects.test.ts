/** Objects of a migration: the program accepts its arguments and its file, and every mounted volume exists. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import {
  type MigrationObjects,
  renderChangeJob,
  renderMigrateJob,
  renderMigrationObjects,
  argsText,
} from "../../../../components/render/kubernetes/migrationObjects";
import { parseMigrationFile } from "../../../../runtime/cnpg/migrate/migrationFile";
import { loadConfig } from "../../../../runtime/config/load";
import { waitFor } from "../../../../tools/parts/process";

const OBJECTS: MigrationObjects = {
  name: "to-18",
  namespace: "db",
  workloads: [
    { kind: "Deployment", name: "web", namespace: "shop" },
    { kind: "StatefulSet", name: "queue" },
  ],
  secrets: [{ name: "database", namespace: "shop", keys: ["host", "uri"] }],
  runtime: { configMap: "to-18-runtime", image: "node:24" },
  postgresImage: "postgresql:18",
  serverSources: [{ secret: { name: "orders-superuser", items: [{ key: "password", path: "to-password" }] } }],
};

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly command: readonly string[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext: { readonly readOnlyRootFilesystem: boolean };
}
interface Pod {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
}
const podOf = (job: object): Pod => (job as { spec: { template: { spec: Pod } } }).spec.template.spec;
const copy = { role: "copy", action: "migrate", verb: "copy", text: "" } as const;
const ARGS = [
  "--from-server=host=old user=postgres sslmode=require",
  "--from-password-file=/pgbackstop/servers/from-password",
  "--process-max=2",
];
const copyPod = (): Pod => podOf(renderMigrateJob(OBJECTS, copy, null));
const COPY_ARGS = [...ARGS, '--db-include=it\'s  \\an "odd" $name', "--output=json", "migrate", "copy"];

const read = (argv: readonly string[]) =>
  loadConfig({
    argv: argv.map((arg) =>
      arg.replace("$(KUBERNETES_SERVICE_HOST)", "10.0.0.1").replace("$(KUBERNETES_SERVICE_PORT)", "443"),
    ),
    env: {},
    readFile: () => null,
    listDirectory: () => [],
  });

// claim: docs/migration-program.md: in Kubernetes `node` and…
test("the program reads the arguments of every container", () => {
  const [, step] = copyPod().initContainers ?? [];
  const { config, warnings } = read(["--bin-path=/usr/lib/postgresql/18/bin", ...(step?.args ?? []), ...COPY_ARGS]);
  expect(config).toMatchObject({
    binPath: "/usr/lib/postgresql/18/bin",
    migrate: { fromPasswordFile: "/pgbackstop/servers/from-password" },
  });
  expect(warnings).toEqual([]);
  const finish = podOf(
    renderMigrateJob(
      OBJECTS,
      { role: "finish", action: "migrate", verb: "finish", text: "" },
      {
        args: ["--stanza=orders"],
        volumeMounts: [{ name: "config", mountPath: "/pgbackstop/config" }],
        volumes: [{ name: "config", configMap: { name: "orders" } }],
      },
    ),
  );
  expect(read([...(finish.initContainers?.[1]?.args ?? []), "migrate", "finish"]).config.stanza).toBe("orders");
  expect(finish.initContainers?.[1]).toMatchObject({
    env: [{ name: "PGBACKSTOP_SECRETS", value: "/pgbackstop/secrets" }],
  });
  expect(read(copyPod().containers[0]?.args ?? []).config).toMatchObject({
    params: ["report", "copy"],
    migrate: { file: "/pgbackstop/migration/steps.json" },
  });
  const changes = {
    "stop-workloads": "stop",
    "start-workloads": "start",
    "start-workloads-again": "resume",
    "repoint-secrets": "repoint",
    "restore-secrets": "restore",
  };
  for (const [role, arg] of Object.entries(changes)) {
    const action = role.replace("-again", "") as "stop-workloads";
    expect(
      read(podOf(renderChangeJob(OBJECTS, { role, action, text: "" })).containers[0]?.args ?? []).config.params,
    ).toEqual([arg]);
  }
});

test("the program reads the file of changes", () => {
  const steps = renderMigrationObjects(OBJECTS, ["plan"]).find(({ role }) => role === "steps")?.manifest[
    "data"
  ] as Record<string, string>;
  expect(parseMigrationFile(Buffer.from(steps["steps.json"] ?? ""))).toEqual({
    record: "to-18-record",
    report: "to-18-report",
    workloads: [
      { kind: "Deployment", name: "web", namespace: "shop" },
      { kind: "StatefulSet", name: "queue", namespace: undefined },
    ],
    secrets: [{ name: "database", namespace: "shop", keys: { host: "0-host", uri: "0-uri" } }],
  });
});

test("every container mounts existing volumes, and every volume is mounted", () => {
  const repoint = podOf(renderChangeJob(OBJECTS, { role: "repoint-secrets", action: "repoint-secrets", text: "" }));
  for (const pod of [copyPod(), repoint]) {
    const containers = [...(pod.initContainers ?? []), ...pod.containers];
    const mounted = new Set(containers.flatMap(({ volumeMounts }) => volumeMounts.map(({ name }) => name)));
    expect([...mounted].toSorted()).toEqual(pod.volumes.map(({ name }) => name).toSorted());
    expect(containers.every(({ securityContext }) => securityContext.readOnlyRootFilesystem)).toBe(true);
  }
  const [node, step] = copyPod().initContainers ?? [];
  expect([node?.image, step?.image, copyPod().containers[0]?.image]).toEqual(["node:24", "postgresql:18", "node:24"]);
  expect(
    JSON.stringify([...(node?.volumeMounts ?? []), ...(copyPod().containers[0]?.volumeMounts ?? [])]),
  ).not.toContain("servers");
});

// claim: docs/migration-program.md: in Kubernetes `node` and `pg_dump` are combined, and the program reads its
//   arguments
test("the containers' shells combine program and node, keep answer and exit code, and forward termination", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pgbk-"));
  try {
    const here = (text: string): string =>
      text.replaceAll("/pgbackstop", folder).replaceAll("/usr/lib/postgresql", `${folder}/postgresql`);
    for (const name of ["bundle", "run", "words", "postgresql/9/bin", "postgresql/17/bin"])
      mkdirSync(join(folder, name), { recursive: true });
    const program = "console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 58;";
    writeFileSync(join(folder, "bundle", "runtime.cjs.gz"), gzipSync(program));
    writeFileSync(join(folder, "words", "copy"), argsText(COPY_ARGS));
    const [node, step] = copyPod().initContainers ?? [];
    const environment = { ...process.env, PATH: `${join(process.execPath, "..")}:${process.env["PATH"] ?? ""}` };
    for (const { command, args } of [node, step].flatMap((container) => container ?? []))
      execFileSync(command[0] ?? "", [...command.slice(1).map(here), ...args], { env: environment });
    expect(JSON.parse(readFileSync(join(folder, "run/report.json"), "utf8"))).toEqual([
      `--bin-path=${folder}/postgresql/17/bin`,
      ...(step?.args ?? []),
      ...COPY_ARGS,
    ]);
    expect(readFileSync(join(folder, "run/code"), "utf8")).toBe("58\n");
    writeFileSync(
      join(folder, "run", "runtime.cjs"),
      `process.on("SIGTERM", () => process.exit(63)); require("fs").writeFileSync(${JSON.stringify(join(folder, "began"))}, ""); setInterval(() => {}, 1000);`,
    );
    const [shell = "", ...args] = [...(step?.command ?? []).map(here), ...(step?.args ?? [])];
    const child = spawn(shell, args, { env: environment, stdio: "ignore" });
    const ended = once(child, "exit");
    await waitFor("its beginning", 30_000, async () => (existsSync(join(folder, "began")) ? true : null));
    child.kill("SIGTERM");
    await ended;
    expect(readFileSync(join(folder, "run/code"), "utf8")).toBe("63\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
