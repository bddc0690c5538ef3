/**
 * Fire drills of a cluster as its components declare them, in a Kubernetes with the real operator and PostgreSQL. A
 * drill restores, checks, times and removes a throw-away Cluster. An external stopwatch confirms the times of a healthy
 * drill, and planted faults are detected.
 */
// claim: docs/security.md: a bucket with versions…
// claim: docs/drills-attack.md: an attack drill writes…
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupHold } from "../../components/actions/backupHold";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import type { DrillRecord } from "../../runtime/operations/drill/record";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, PASSPHRASE, startComponentLab } from "../harness/kubernetes/componentLab";
import { POSTGRES_IMAGE } from "../harness/kubernetes/images";
import { conditionOf, type KubernetesObject } from "../harness/kubernetes/kubectl";
import type { Lab } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";
import { repositoryIn, segmentsOf } from "../harness/kubernetes/stores";
import { askS3, callS3, type S3Keys } from "../harness/network/s3Requests";
import { makeUser, policyOf } from "../harness/real/liveBucket";
import { findVersitygw } from "../../tools/parts/kubernetes/goTools";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { startWebServer, type WebServer } from "../harness/doubles/messageServers";
import { NIGHTLY } from "../../tools/parts/nightly";

const WRITER = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
const JOB_MS = 300_000;
const HEALTHY = "orders-drill-healthy";
/** Part of an address that only the targets may see. */
const ADDRESS = "planted-address";

const hasEnded = (job: KubernetesObject): boolean =>
  ["Complete", "Failed"].some((type) => conditionOf(job, type)?.status === "True");

describe("drills of a cluster", async () => {
  const parts = await labParts("drills of a cluster in the lab");
  if (parts === null) return;
  const hasVersions = (await findVersitygw()) !== null;
  /** Of the first repository, which then keeps versions. */
  let writer: S3Keys | null = null;
  /** The end of the second that the restore from the past sees. */
  let before = "";
  let stack: ComponentLab;
  let lab: Lab;
  let hooks: WebServer;

  const cron = "0 5 1 1 *";
  const declared = (checks: CnpgClusterArgs["drillChecks"] = {}): CnpgCluster =>
    new CnpgCluster("orders", {
      ...stack.common("/orders"),
      storageGiB: 1,
      parameters: { shared_buffers: "32MB", max_connections: "150" },
      ...(writer === null
        ? {}
        : {
            repositories: {
              ...stack.repositoriesAt("/orders"),
              repo1: repositoryIn(stack.first, "/orders", 14, undefined, writer),
            },
          }),
      drills: {
        ...(writer === null ? {} : { attack: { cron, pick: "attack", from: "repo1", maxMinutes: 20 } }),
        healthy: { cron, from: "repo2", pick: "newest", maxMinutes: 20 },
        faults: { cron, from: "repo1", pick: "newest", level: "standard", maxMinutes: 20 },
        turns: { cron, level: "quick", maxMinutes: 20 },
        small: { cron, maxGiB: 0.001 },
      },
      drillChecks: {
        heartbeat: { database: "app", sql: "select max(at) from heartbeat" },
        assertions: [{ name: "goods", database: "app", sql: "select count(*) = 5000 from goods" }],
        ...checks,
      },
      notifySecret: "whom",
    });
  const sql = (text: string, database?: string): Promise<string> => stack.sql("orders-1", text, database);
  /** Returns the heartbeat in seconds since 1970. */
  const beat = async (): Promise<number> =>
    Number.parseFloat(await sql("insert into heartbeat values (clock_timestamp()) returning extract(epoch from at)"));
  const archived = async (): Promise<void> => stack.awaitSegment("/orders", await stack.endSegment("orders-1"));

  beforeAll(async () => {
    stack = await startComponentLab(parts, "drill", hasVersions ? { first: await versionedStore() } : {});
    lab = stack.lab;
    hooks = await startWebServer();
    await notifyAt(hooks);
    await stack.declare(() => declared());
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await sql("create table heartbeat (at timestamptz)");
    await sql("create table goods (id int primary key, name text)");
    await sql("insert into goods select g, md5(g::text) from generate_series(1, 5000) g");
  });
  afterAll(async () => {
    await stack?.stop();
    await hooks?.close();
  });

  const versionedStore = async (): Promise<S3Server> => {
    const moreNames = ["first.default.svc"];
    const server = await S3Server.create({
      kind: "versitygw",
      bucket: "first",
      moreNames,
      versioning: true,
      users: true,
    });
    const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    await callS3(server, { method: "PUT", bucket: "first", query: { versioning: "" }, body });
    writer = await makeUser(
      server,
      "writer",
      policyOf(server, [...WRITER, "s3:ListBucketVersions", "s3:GetObjectVersion"]),
    );
    return server;
  };

  /** Creates what a user provides: a Secret with the targets, and the listener as a Service. */
  const notifyAt = async ({ origin }: WebServer): Promise<void> => {
    const port = Number(new URL(origin).port);
    await lab.expose("hooks", port);
    const at = `http://hooks.default.svc:${port}`;
    const targets = [
      { type: "webhook", url: `${at}/hook/${ADDRESS}` },
      { type: "healthchecks", url: `${at}/ping/${ADDRESS}`, units: [HEALTHY] },
    ];
    const metadata = { name: "whom", namespace: "default" };
    await lab.kubectl.apply([
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata,
        stringData: { "notify.json": JSON.stringify({ version: 1, targets }) },
      },
    ]);
  };
  interface Message {
    readonly event: string;
    readonly ok: boolean;
    readonly unit: string;
    readonly host: string;
    readonly lines: readonly string[];
  }
  /** Takes the messages of one drill, and all pings, since the last call. */
  const takeMessages = (
    drill: string,
  ): { readonly messages: readonly Message[]; readonly pings: readonly string[] } => {
    const taken = hooks.requests.splice(0);
    const messages = taken.flatMap(({ body, path }) =>
      path.startsWith("/hook/") ? [JSON.parse(body) as Message] : [],
    );
    const pings = taken.flatMap(({ path }) =>
      path.startsWith("/ping/") ? [path.slice(`/ping/${ADDRESS}`.length)] : [],
    );
    return { messages: messages.filter(({ unit }) => unit === `orders-drill-${drill}`), pings };
  };

  interface Ended {
    readonly record: DrillRecord;
    readonly log: string;
    readonly ok: boolean;
  }

  /** Starts a drill by hand with `kubectl create job --from`. */
  const startJob = (drill: string, job: string): Promise<string> =>
    lab.kubectl.runOk(["create", "job", "-n", "default", `--from=cronjob/orders-drill-${drill}`, job]);
  const podOf = async (job: string): Promise<string | undefined> =>
    (
      await lab.kubectl.list<KubernetesObject & { metadata: { labels?: Record<string, string> } }>("pods", "default")
    ).find(({ metadata }) => metadata.labels?.["batch.kubernetes.io/job-name"] === job)?.metadata.name;
  const logFile = (pod: string): string => join(lab.logFolder, "pods", `default_${pod}_drill.log`);
  const endOf = async (job: string, repo: number): Promise<Ended> => {
    const ended = await lab.kubectl.waitUntil({ kind: "jobs", name: job }, hasEnded, JOB_MS);
    const log = readFileSync(logFile((await podOf(job)) ?? ""), "utf8");
    return { record: await newestRecord(repo), log, ok: conditionOf(ended, "Complete")?.status === "True" };
  };
  /** Reads the newest record of a repository's history with the sidecar's program. */
  const newestRecord = async (repo: number): Promise<DrillRecord> => {
    const directory = "pgbackstop/orders/drills";
    let text = "";
    // Retries: a sidecar restarts after its Secret changes.
    const isRead = async (): Promise<boolean> => {
      const names = (await stack.verb("orders-1", "repo-ls", `--repo=${repo}`, directory)).stdout
        .trim()
        .split("\n")
        .sort();
      const got = await stack.verb("orders-1", "repo-get", `--repo=${repo}`, `${directory}/${names.at(-1)}`);
      text = got.stdout;
      return got.exitCode === 0 && text.endsWith("}\n");
    };
    await expect.poll(isRead, { timeout: 180_000, interval: 1000 }).toBe(true);
    return JSON.parse(text) as DrillRecord;
  };
  const drill = async (name: string, job: string, repo = 1): Promise<Ended> => {
    await startJob(name, job);
    return endOf(job, repo);
  };
  const leftOf = async (cluster: string): Promise<string[]> => {
    const result = await Promise.all(
      [CLUSTERS, "pods", "persistentvolumeclaims", "jobs", "secrets"].map(async (kind) =>
        (
          await lab.kubectl.list<KubernetesObject & { metadata: { labels?: Record<string, string> } }>(kind, "default")
        ).filter(
          ({ metadata }) =>
            metadata.labels?.["cnpg.io/cluster"] === cluster || (kind === CLUSTERS && metadata.name === cluster),
        ),
      ),
    );
    return result.flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  };

  /** A pod connects to the throw-away Cluster's Service until it is accepted, and logs the time. */
  const startStopwatch = (): Promise<unknown> => {
    const script = `until pg_isready -q -t 1 -h ${HEALTHY}-rw; do sleep 0.05; done; echo "accepted $EPOCHREALTIME"`;
    const container = { name: "main", image: POSTGRES_IMAGE, command: ["bash", "-c", script] };
    const spec = { restartPolicy: "Never", securityContext: { runAsUser: 26 }, containers: [container] };
    return lab.kubectl.apply([
      { apiVersion: "v1", kind: "Pod", metadata: { name: "stopwatch", namespace: "default" }, spec },
    ]);
  };
  const acceptedMs = (): number =>
    Number(
      /^accepted (\S+)$/m.exec(readFileSync(join(lab.logFolder, "pods", "default_stopwatch_main.log"), "utf8"))?.[1],
    ) * 1000;

  // claim: docs/notifications.md, docs/kubernetes/drills.md: scheduled Jobs of clusters report start, end, failure and
  //   drill to the targets of a mounted Secret, and never fail because of it
  // claim: docs/kubernetes/drills.md: on CloudNativePG a drill's RTO and RPO agree with an external stopwatch; it
  //   ignores later WAL, archives nowhere and leaves nothing (the kubelet is a double)
  test("a healthy one measures the same RTO and RPO as an external stopwatch, and leaves nothing", async () => {
    expect((await stack.firstBackup("orders")).error).toBeUndefined();
    const lastBeatS = await beat();
    await archived();
    // The pause makes the data loss longer than the delays of a busy machine.
    await sql("select pg_sleep(5)");
    await startStopwatch();
    await startJob("healthy", "healthy-1");
    const throwAway = await lab.kubectl.waitUntil<KubernetesObject & { spec: Record<string, unknown> }>(
      { kind: CLUSTERS, name: HEALTHY },
      () => true,
    );
    // Written after the disaster: the drill must ignore it, although it is archived.
    await beat();
    await archived();
    expect(throwAway.spec).toMatchObject({ instances: 1, enablePDB: false, storage: { size: "1Gi" } });
    expect(throwAway.spec["plugins"]).toBeUndefined();
    expect(throwAway.spec["backup"]).toBeUndefined();
    expect(throwAway.metadata["ownerReferences"]).toEqual([
      expect.objectContaining({ kind: "Job", name: "healthy-1" }),
    ]);

    const { log, ok, record } = await endOf("healthy-1", 1);
    expect(record.failures).toEqual([]);
    expect([record.ok, ok]).toEqual([true, true]);
    expect(log).toMatch(/drill \S+ of repo2: passed/);
    expect(record).toMatchObject({
      repo: 2,
      pick: "newest",
      level: "thorough",
      target: null,
      rpo: { method: "heartbeat" },
    });
    expect(record.phases.map(({ name }) => name)).toEqual([
      "choose",
      "create",
      "restore",
      "recovery",
      "start",
      "checks",
      "delete",
    ]);
    expect(record.checks.map(({ name, verdict }) => `${name} ${verdict}`)).toEqual([
      "recovery ok",
      "collations ok",
      "production ok",
      "assertion:goods ok",
      "amcheck ok",
      "dump ok",
      "checksums ok",
    ]);
    // The program starts between its container (the log file's birth) and its first log line, which can be far apart on
    // a busy machine.
    const file = logFile((await podOf("healthy-1")) ?? "");
    const began = [
      statSync(file).birthtimeMs,
      Date.parse(`${readFileSync(file, "utf8").slice(0, 23).replace(" ", "T")}Z`),
    ] as const;
    expect(
      measuredWithinTenth(
        record.rtoMs ?? 0,
        began.map((atMs) => acceptedMs() - atMs),
      ),
    ).toBe("as measured");
    expect(
      measuredWithinTenth(
        (record.rpo?.seconds ?? 0) * 1000,
        began.map((atMs) => atMs - lastBeatS * 1000),
      ),
    ).toBe("as measured");
    expect(await leftOf(HEALTHY)).toEqual([]);
    const { messages, pings } = takeMessages("healthy");
    expect(messages.map((message) => `${message.event} ${message.ok} ${message.host}`).sort()).toEqual([
      "drill true default/orders",
      "start true default/orders",
      "success true default/orders",
    ]);
    expect(messages[0]?.event).toBe("start");
    expect(pings).toEqual([
      expect.stringMatching(/^\/start\?rid=[0-9a-f-]{36}$/),
      expect.stringMatching(/^\?rid=[0-9a-f-]{36}$/),
    ]);
    expect(log).not.toContain(ADDRESS);
    // Both histories have the record, and neither archive has WAL of the throw-away Cluster.
    expect((await newestRecord(2)).id).toBe(record.id);
    for (const server of [stack.first, stack.second])
      expect(segmentsOf(server, "/orders").filter((name) => !name.startsWith("00000001"))).toEqual([]);
  });

  // claim: docs/retention.md: `BackupHold` of a cluster is a Job that holds the backup in every repository that has it;
  //   a label that no repository has fails it
  test("a Job holds a backup in both repositories, and fails for one that nobody has", async () => {
    const label = /^\s+full backup: (\S+)$/m.exec((await stack.verb("orders-1", "info")).stdout)?.[1] ?? "";
    const held = async (backup: string): Promise<KubernetesObject> => {
      const objects = (await renderedObjects(
        () => void new BackupHold("audit", { cluster: declared().access, backup, reason: "the audit's copy" }),
      )) as readonly (KubernetesObject & { readonly spec: object })[];
      const job = objects.find(({ metadata }) => metadata.name.startsWith("orders-audit-")) ?? expect.fail("no Job");
      await lab.kubectl.apply([{ ...job, spec: { ...job.spec, backoffLimit: 0 } }]);
      return lab.kubectl.waitUntil({ kind: "jobs", name: job.metadata.name }, hasEnded, JOB_MS);
    };
    expect(conditionOf(await held(label), "Complete")?.status).toBe("True");
    const { stdout } = await stack.verb("orders-1", "info", "--output=json");
    expect(stdout.match(/"pgbackstop-hold":"the audit's copy"/g)).toHaveLength(2);
    const failed = await held("20200101-000000F");
    expect(conditionOf(failed, "Failed")?.reason).toBe("BackoffLimitExceeded");
    const pod = (await podOf(failed.metadata.name)) ?? "";
    expect(readFileSync(join(lab.logFolder, "pods", `default_${pod}_hold.log`), "utf8")).toContain(
      "no repository has backup 20200101-000000F",
    );
  });

  test.runIf(hasVersions)("one that attacks the bucket creates no Cluster, and restores its stanza", async () => {
    await sql("select pg_sleep(1.1)");
    before = `${new Date().toISOString().slice(0, 19)}Z`;
    await sql("select pg_sleep(1.1)");
    const { log, ok, record } = await drill("attack", "attack-1");
    expect([record.pick, record.repo, record.failures]).toEqual(["attack", 1, []]);
    expect(ok).toBe(true);
    expect(log).toMatch(/attacks repo1: passed/);
    expect(record.checks.at(-1)).toMatchObject({ name: "attack:restore", verdict: "ok" });
    expect(
      takeMessages("attack")
        .messages.map(({ event }) => event)
        .sort(),
    ).toEqual(["drill", "start", "success"]);
  });

  // claim: docs/kubernetes/drills.md: rights of a drill's account, by object name if Kubernetes supports that
  test("its account has the rights that a drill needs, by object name if Kubernetes supports that", async () => {
    const may = async (...args: readonly string[]): Promise<boolean> =>
      (
        await lab.kubectl.run([
          "auth",
          "can-i",
          ...args,
          "-n",
          "default",
          "--as=system:serviceaccount:default:orders-drill",
        ])
      ).stdout.trim() === "yes";
    for (const args of [
      ["create", CLUSTERS],
      ["delete", `${CLUSTERS}/${HEALTHY}`],
      ["get", `secrets/${HEALTHY}-superuser`],
      ["get", `${CLUSTERS}/orders`],
    ])
      expect([args, await may(...args)]).toEqual([args, true]);
    for (const args of [
      ["delete", `${CLUSTERS}/orders`],
      ["update", `${CLUSTERS}/${HEALTHY}`],
      ["patch", `${CLUSTERS}/orders`],
      ["list", CLUSTERS],
      ["get", "secrets/orders-superuser"],
      ["list", "secrets"],
      ["create", "secrets"],
      ["get", "pods"],
      ["create", "pods/exec"],
    ])
      expect([args, await may(...args)]).toEqual([args, false]);
  });

  // claim: docs/notifications.md: scheduled Jobs of clusters…
  // claim: docs/drills.md: a drill can be…
  // claim: docs/kubernetes/drills.md: the same faults are…
  test("one that costs more than allowed does not start", async () => {
    const lines = documentedLines("small", "small-1");
    const output = await lab.shell(lines.join("\n"), { timeoutMs: JOB_MS });
    expect([output.exitCode, output.stdout]).toEqual([1, expect.stringMatching(/drill \S+ of repo\d: FAILED/)]);
    // The last line also recognizes a drill that passed.
    expect((await lab.shell(["job=healthy-1", lines.at(-1)].join("\n"))).exitCode).toBe(0);
    const { ok, record } = await endOf("small-1", 1);
    expect(ok).toBe(false);
    expect(record.failures).toEqual([
      expect.objectContaining({ where: "choose", code: 122, message: expect.stringContaining("allowed are") }),
    ]);
    expect(record.phases.map(({ name }) => name)).not.toContain("restore");
    const { messages, pings } = takeMessages("small");
    expect(messages.map((message) => `${message.event} ${message.ok}`).sort()).toEqual([
      "drill false",
      "failure false",
      "start true",
    ]);
    expect(messages.find(({ event }) => event === "failure")?.lines).toContain(
      "log: kubectl logs -n default job/small-1",
    );
    // The pings are for another drill.
    expect(pings).toEqual([]);
  });

  // claim: docs/kubernetes/drills.md: a drill that is stopped or killed removes its throw-away Cluster
  test("one that is stopped removes its throw-away Cluster", async () => {
    await startJob("turns", "turns-1");
    await lab.kubectl.waitUntil({ kind: CLUSTERS, name: "orders-drill-turns" }, () => true);
    await lab.kubectl.runOk(["delete", "job", "turns-1", "-n", "default", "--timeout=100s"]);
    await expect.poll(() => leftOf("orders-drill-turns"), { timeout: 120_000 }).toEqual([]);
  });

  // claim: docs/kubernetes/drills.md: a drill that is stopped or…
  test.runIf(NIGHTLY)("one that is killed starts again, after removing the leftovers", async () => {
    await startJob("turns", "turns-2");
    const left = await lab.kubectl.waitUntil({ kind: CLUSTERS, name: "orders-drill-turns" }, () => true);
    await lab.signal((await podOf("turns-2")) ?? "", "drill", "SIGKILL");
    await lab.kubectl.waitUntil(
      { kind: CLUSTERS, name: "orders-drill-turns" },
      ({ metadata }) => metadata["uid"] !== left.metadata["uid"],
    );
    const { ok, record } = await endOf("turns-2", 1);
    expect([ok, record.failures]).toEqual([true, []]);
    expect(await leftOf("orders-drill-turns")).toEqual([]);
  });

  // claim: docs/kubernetes/drills.md: the same faults are detected there
  test.runIf(NIGHTLY)(
    "a missing segment, an index that lacks rows, a failing assertion and an old backup are detected in one",
    async () => {
      await stack.declare(() => declared({ backupAgeHours: 0.001 }));
      const index = "indexrelid = 'goods_pkey'::regclass";
      await sql(`update pg_index set indisready = false, indisvalid = false where ${index}`);
      await sql("insert into goods values (1000000, 'in no index')");
      await sql(`update pg_index set indisready = true, indisvalid = true where ${index}`);
      await sql("select pg_switch_wal()");
      await beat();
      const gone = await sql("select pg_walfile_name(pg_switch_wal())");
      await beat();
      await sql("select pg_switch_wal()");
      await beat();
      await archived();
      // Some minutes after its start the sidecar copies what a repository lacks.
      const removing = setInterval(() => removeFile(stack.first.bucketPath, "/orders", gone), 250);
      const { ok, record } = await drill("faults", "faults-1", 2).finally(() => clearInterval(removing));
      expect(ok).toBe(false);
      // A slow machine may miss the RPO too.
      const result = record.failures.map(({ where }) => where).filter((where) => where !== "objective:rpo");
      expect(result.sort()).toEqual(["amcheck", "assertion:goods", "objective:backupAge", "recovery"]);
      const args = (where: string): string | undefined => record.failures.find((each) => each.where === where)?.message;
      expect(args("amcheck")).toContain("goods_pkey");
      expect(args("recovery")).toContain(gone);
      expect(await leftOf("orders-drill-faults")).toEqual([]);
    },
  );

  // claim: docs/kubernetes/drills.md: the same faults are…
  test.runIf(NIGHTLY)("a corrupted block in a file of the repository ends the restore", async () => {
    const folder = join(stack.second.bucketPath, "orders", "backup");
    const large = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .map((file) => join(folder, file))
      .filter((file) => !/manifest|\.info/.test(file) && statSync(file).isFile() && statSync(file).size > 100_000);
    expect(large.length).toBeGreaterThan(0);
    for (const file of large) {
      const bytes = readFileSync(file);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
      writeFileSync(file, bytes);
    }
    const { ok, record } = await drill("healthy", "healthy-2");
    expect(ok).toBe(false);
    expect(record.failures[0]?.where).toBe("restore");
    expect(record.failures[0]?.code).toBeGreaterThan(25);
    expect(record.rtoMs).toBeNull();
    expect(await leftOf(HEALTHY)).toEqual([]);
  });

  // claim: docs/kubernetes/plugin.md: metrics of drills on CloudNativePG's own endpoint
  test("its metrics are those of the cluster, on CloudNativePG's own endpoint", async () => {
    // A restarted sidecar reads the history at once.
    await lab.signal("orders-1", "plugin-pgbackstop", "SIGKILL");
    const scrape =
      "fetch('http://localhost:9187/metrics').then((answer) => answer.text()).then((text) => console.log(text))";
    const drills = async (): Promise<string[]> => {
      const { stdout } = await lab.kubectl.exec("orders-1", "plugin-pgbackstop", ["node", "-e", scrape]);
      return [...stdout.matchAll(/^pgbackstop_drill_ok\{[^}]*repo_key="([12])"[^}]*\} (\S+)$/gm)]
        .map(([, repo, ok]) => `repo${repo} ${ok}`)
        .sort();
    };
    await expect.poll(drills, { timeout: 180_000, interval: 1000 }).toEqual(["repo1 0", `repo2 ${NIGHTLY ? 0 : 1}`]);
  });

  test.runIf(hasVersions && NIGHTLY)(
    "a thief empties the first repository, and a CnpgRestore from before has every row",
    async () => {
      const { text } = await callS3(stack.first, { method: "GET", bucket: "first", query: { "list-type": "2" } });
      const keys = [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = ""]) => key);
      for (const key of keys.filter((name) => name.startsWith("orders/"))) {
        const question = { method: "DELETE", bucket: "first", key } as const;
        expect([key, (await askS3(stack.first, question, writer ?? undefined)).status]).toEqual([key, 204]);
      }
      await stack.declare(
        () =>
          void new CnpgRestore("past", {
            ...stack.common("/past"),
            storageGiB: 1,
            parameters: { shared_buffers: "32MB", max_connections: "150" },
            source: {
              stanza: "orders",
              repositories: { repo1: repositoryIn(stack.first, "/orders", 14) },
              repositoryTargetTime: before,
            },
          }),
      );
      await lab.kubectl.waitForCondition(CLUSTERS, "past", "Ready");
      expect(await stack.sql("past-1", "select count(*) from goods")).toBe("5000");
    },
  );

  // claim: docs/kubernetes/drills.md: the same faults are…
  test.runIf(NIGHTLY)("a wrong passphrase, and a repository that is readable and empty", async () => {
    const secret = (await lab.kubectl.list("secrets", "default")).find(
      (each) => atob((each as { data?: Record<string, string> }).data?.["ENCRYPTION_PASS"] ?? "") === PASSPHRASE,
    );
    const patch = JSON.stringify({ stringData: { ENCRYPTION_PASS: "not this one" } });
    await lab.kubectl.runOk([
      "patch",
      "secret",
      secret?.metadata.name ?? "",
      "-n",
      "default",
      "--type=merge",
      "-p",
      patch,
    ]);
    const wrong = await drill("healthy", "healthy-3");
    expect([wrong.ok, wrong.record.failures]).toEqual([
      false,
      [expect.objectContaining({ where: "choose", error: "CryptoError", code: 95 })],
    ]);
    // Retries: the archiver may write files during the removal.
    rmSync(join(stack.first.bucketPath, "orders"), { recursive: true, maxRetries: 10 });
    await startJob("faults", "faults-2");
    const { log, ok } = await endOf("faults-2", 1);
    expect(ok).toBe(false);
    expect(log).toMatch(/! choose: \[FileMissingError\]/);
  });
});

/** Allows a tenth beyond the measured range, or 300 ms for the scheduler's delays. */
function measuredWithinTenth(reportedMs: number, measuredMs: readonly number[]): string {
  const [least, most] = [Math.min(...measuredMs), Math.max(...measuredMs)];
  const isNear = reportedMs >= least - Math.max(least / 10, 300) && reportedMs <= most + Math.max(most / 10, 300);
  return isNear ? "as measured" : `told ${reportedMs} ms, measured ${least} to ${most}`;
}

/** The commands with which docs/drills.md runs a cluster's drill in CI. */
function documentedLines(drill: string, job: string): string[] {
  const text = readFileSync(join(__dirname, "../../docs/drills.md"), "utf8");
  const script = /^job=[^]*?(?=\n```)/m.exec(text)?.[0] ?? "";
  const named = script
    .replace(/^job=.*$/m, `job=${job}`)
    .replaceAll("orders-drill-weekly", `orders-drill-${drill}`)
    .replaceAll("-n orders ", "-n default ");
  return named.split("\n");
}

/** Removes a segment from the archive below `path` in a bucket. */
function removeFile(bucketPath: string, path: string, segment: string): void {
  const folder = join(bucketPath, path, "archive");
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" }))
    if (file.includes(`${segment}-`)) rmSync(join(folder, file), { recursive: true, force: true });
}
