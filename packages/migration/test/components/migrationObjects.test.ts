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
} from "../../components/migrationObjects";
import { parseMigrationFile } from "../../runtime/migrationFile";
import { parseMigrate } from "../../runtime/migrateOptions";
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
const COPY_ARGS = [...ARGS, '--db-include=it\'s  \\an "odd" $name', "--output=json", "copy"];

const FINISH = { role: "finish", action: "migrate", verb: "finish", text: "" } as const;
const REPOSITORIES = {
  args: ["--stanza=orders"],
  volumeMounts: [{ name: "config", mountPath: "/pgbackstop/config" }],
  volumes: [{ name: "config", configMap: { name: "orders" } }],
};

// claim: packages/migration/docs/program.md: in Kubernetes `node` and…
test("the programs read the arguments of every container", () => {
  expect(parseMigrate(["--bin-path=/usr/lib/postgresql/18/bin", ...COPY_ARGS])).toMatchObject({
    step: "copy",
    binPath: "/usr/lib/postgresql/18/bin",
    fromPasswordFile: "/pgbackstop/servers/from-password",
    include: [`it's  \\an "odd" $name`],
    processMax: 2,
    isJson: true,
  });
  expect(copyPod().containers[0]?.args.slice(-2)).toEqual(["report", "copy"]);
  const changes = {
    "stop-workloads": "stop",
    "start-workloads": "start",
    "start-workloads-again": "resume",
    "repoint-secrets": "repoint",
    "restore-secrets": "restore",
  };
  for (const [role, arg] of Object.entries(changes)) {
    const action = role.replace("-again", "") as "stop-workloads";
    const [container] = podOf(renderChangeJob(OBJECTS, { role, action, text: "" })).containers;
    expect(container?.args).toEqual([
      "--kubernetes-host=$(KUBERNETES_SERVICE_HOST)",
      "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)",
      "--migration-file=/pgbackstop/migration/steps.json",
      arg,
    ]);
  }
});

test("only the last step runs the backup program, with the target's repositories", () => {
  const finish = podOf(renderMigrateJob(OBJECTS, FINISH, REPOSITORIES));
  const [node, step] = finish.initContainers ?? [];
  expect(step?.args.at(-1)).toBe("--stanza=orders");
  expect(step).toMatchObject({ env: [{ name: "PGBACKSTOP_SECRETS", value: "/pgbackstop/secrets" }] });
  expect(step?.command[2]).toContain("runtime.cjs");
  expect(node?.volumeMounts.map(({ name }) => name)).toContain("bundle");
  expect(JSON.stringify(copyPod())).not.toMatch(/runtime\.cjs|"bundle"/);
});

test("a placement reaches every pod", () => {
  const placement = { nodeSelector: { pool: "backups" } };
  const jobs = [
    renderChangeJob({ ...OBJECTS, placement }, { role: "stop-workloads", action: "stop-workloads", text: "" }),
    renderMigrateJob({ ...OBJECTS, placement }, copy, null),
  ];
  for (const job of jobs) expect(podOf(job)).toMatchObject({ nodeSelector: { pool: "backups" } });
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
  for (const pod of [copyPod(), repoint, podOf(renderMigrateJob(OBJECTS, FINISH, REPOSITORIES))]) {
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

// claim: packages/migration/docs/program.md: in Kubernetes `node` and `pg_dump` are combined, and the program reads its
//   arguments
test("the containers' shells combine program and node, keep answer and exit code, and forward termination", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pgbk-"));
  try {
    const here = (text: string): string =>
      text.replaceAll("/pgbackstop", folder).replaceAll("/usr/lib/postgresql", `${folder}/postgresql`);
    for (const name of ["bundle", "program", "run", "words", "postgresql/9/bin", "postgresql/17/bin"])
      mkdirSync(join(folder, name), { recursive: true });
    const program = "console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 58;";
    writeFileSync(join(folder, "program", "migrate.cjs.gz"), gzipSync(program));
    writeFileSync(join(folder, "words", "copy"), argsText(COPY_ARGS));
    const [node, step] = copyPod().initContainers ?? [];
    const environment = { ...process.env, PATH: `${join(process.execPath, "..")}:${process.env["PATH"] ?? ""}` };
    for (const { command, args } of [node, step].flatMap((container) => container ?? []))
      execFileSync(command[0] ?? "", [...command.slice(1).map(here), ...args], { env: environment });
    expect(JSON.parse(readFileSync(join(folder, "run/report.json"), "utf8"))).toEqual([
      `--bin-path=${folder}/postgresql/17/bin`,
      ...COPY_ARGS,
    ]);
    expect(readFileSync(join(folder, "run/code"), "utf8")).toBe("58\n");
    writeFileSync(
      join(folder, "run", "migrate.cjs"),
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
