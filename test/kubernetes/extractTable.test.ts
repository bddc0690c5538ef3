/**
 * One table of a cluster comes back as it was, with the commands of docs/kubernetes/table.md as a user types them: the
 * operator, the API server, the Job's controller, PostgreSQL and the archive are real.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { projectFolder } from "../../tools/parts/cache";
import type { RunResult } from "../../tools/parts/process";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { labParts } from "../harness/kubernetes/parts";

const POD = "orders-1";
const SUM = "select count(*) || ' ' || sum(hashtextextended(t::text, 0)::numeric) from public.goods t";

describe("one table back in a cluster", async () => {
  const parts = await labParts("one table of a cluster in the lab");
  if (parts === null) return;
  const folder = mkdtempSync(join(tmpdir(), "pgb-table-"));
  let stack: ComponentLab;
  let wanted = "";
  let target: readonly string[] = [];

  /** Runs the first command of the page that has this part, in the lab's namespace. */
  const runPrinted = async (part: string): Promise<void> => {
    const page = readFileSync(join(projectFolder(), "docs", "kubernetes", "table.md"), "utf8");
    const line = page.split("\n").find((each) => each.includes(part));
    expect(line, part).toBeDefined();
    const text = (line ?? "").replaceAll("-n orders ", "-n default ").replace(/ +#.*$/, "");
    const { exitCode, stdout, stderr } = await stack.lab.shell(text, { cwd: folder });
    expect(exitCode, `${text}\n${stdout}${stderr}`).toBe(0);
  };
  const inJob = (...args: readonly string[]): Promise<RunResult> =>
    // Each segment of the recovery starts a program, and the machine may be busy.
    stack.lab.kubectl.run(["exec", "job/orders-table", "--", "/pgbackstop/run/pgbackstop", ...args], {
      timeoutMs: 300_000,
    });
  const app = (sql: string): Promise<string> => stack.sql(POD, `set role app; ${sql}`);

  beforeAll(async () => {
    stack = await startComponentLab(parts, "extract-table");
  });
  afterAll(async () => {
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  // claim: docs/kubernetes/table.md: the sidecar makes a Job of the Cluster, and people run find and extract-table in
  //   it (the kubelet and the storage are doubles)
  test("the Job starts, and find in it names the target", async () => {
    await stack.declare(() => new CnpgCluster("orders", { ...stack.common("/orders"), storageGiB: 1 }));
    await stack.firstBackup("orders");
    await app(
      `create table goods (id int primary key, name text not null);
       create index on goods (name);
       insert into goods select i, md5(i::text) from generate_series(1, 2000) i;
       create table lines (id int primary key, goods int references goods);
       insert into lines select i, i from generate_series(1, 100) i`,
    );
    wanted = await stack.sql(POD, SUM);
    await app("delete from lines; delete from goods where id > 7");
    await app("insert into goods values (9001, 'after the mistake')");
    await stack.check(POD);
    await runPrinted("cnpg-job");
    await runPrinted("kubectl wait");
    const { exitCode, stdout, stderr } = await inJob("find", "--table=public.goods", "--kind=delete", "--output=json");
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    const { transactions } = JSON.parse(stdout) as { transactions: { targets: { args: string[] }[] }[] };
    expect(transactions).toHaveLength(1);
    target = transactions[0]?.targets[0]?.args ?? [];
  });

  // claim: docs/kubernetes/table.md: the application's role suffices for its own tables
  test("brings the table back next to production's, as the application's role", async () => {
    const { exitCode, stdout, stderr } = await inJob(
      "extract-table",
      "--database=app",
      "--table=public.goods",
      ...target,
    );
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    expect(stdout).toContain("the copied rows are identical to those of the backup");
    expect(await stack.sql(POD, SUM.replace("public.goods", "public_restored.goods"))).toBe(wanted);
    expect(await stack.sql(POD, "select count(*) from goods")).toBe("8");
    await app("drop schema public_restored cascade");
  });

  test("swaps it in, and keeps what was there", async () => {
    const args = ["--database=app", "--table=public.goods", "--swap", "--yes", ...target];
    const { exitCode, stdout, stderr } = await inJob("extract-table", ...args);
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    expect(await stack.sql(POD, SUM)).toBe(wanted);
    const kept = await stack.sql(POD, "select nspname from pg_namespace where nspname like 'goods_before_%'");
    expect(await stack.sql(POD, `select count(*) from ${kept}.goods`)).toBe("8");
  });

  // claim: docs/kubernetes/table.md: a table of another role needs the superuser's Secret, which may appear while the
  //   pod waits
  test("a table of another role: refused with the way out, and restored once the superuser has a Secret", async () => {
    await stack.sql(POD, "create table ours as select generate_series(1, 50) i");
    await stack.check(POD);
    await stack.sql(POD, "drop table ours");
    await stack.check(POD);
    const listed = await inJob("find", "--table=public.ours", "--kind=drop", "--output=json");
    const { transactions } = JSON.parse(listed.stdout) as { transactions: { targets: { args: string[] }[] }[] };
    const args = ["--database=app", "--table=public.ours", ...(transactions[0]?.targets[0]?.args ?? [])];
    const refused = await inJob("extract-table", ...args);
    expect(refused.exitCode).toBe(81);
    expect(refused.stdout).toContain("production's role app may not create objects of postgres");
    expect(await stack.sql(POD, "select count(*) from pg_namespace where nspname = 'public_restored'")).toBe("0");

    await runPrinted("enableSuperuserAccess");
    const sees = async (): Promise<number | null> =>
      (
        await stack.lab.kubectl.run([
          "exec",
          "job/orders-table",
          "--",
          "test",
          "-s",
          "/pgbackstop/production/superuser/password",
        ])
      ).exitCode;
    await expect.poll(sees, { timeout: 60_000 }).toBe(0);
    // The password reaches PostgreSQL by the operator, the file by the kubelet.
    await expect.poll(async () => (await inJob("extract-table", ...args)).exitCode, { timeout: 120_000 }).toBe(0);
    expect(
      await stack.sql(
        POD,
        "select count(*), tableowner from public_restored.ours, pg_tables where tablename = 'ours' group by 2",
      ),
    ).toBe("50|postgres");
  });

  // claim: docs/kubernetes/table.md: a dump leaves the pod through kubectl, and production is not needed
  test("writes a dump that kubectl brings home", async () => {
    const file = "/pgbackstop/scratch/table.dump";
    const { exitCode, stdout, stderr } = await inJob(
      "extract-table",
      "--database=app",
      "--table=public.goods",
      `--to-file=${file}`,
      ...target,
    );
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    await runPrinted("cat /pgbackstop/scratch/table.dump");
    const loaded = await stack.lab.shell(
      `kubectl exec -i ${POD} -c postgres -- sh -c 'createdb loaded && pg_restore -d loaded --no-owner' < table.dump`,
      { cwd: folder },
    );
    expect(loaded.exitCode, loaded.stderr).toBe(0);
    expect(await stack.sql(POD, SUM, "loaded")).toBe(wanted);
  });

  // claim: docs/kubernetes/table.md: a killed run leaves production as it was, and the next one in the pod clears up
  test("a killed run: its server ends with the next one", async () => {
    const scratch = "/pgbackstop/scratch/table";
    const inShell = (script: string): Promise<RunResult> =>
      stack.lab.kubectl.run(["exec", "job/orders-table", "--", "sh", "-c", script]);
    const killed = inJob("extract-table", "--database=app", "--table=public.goods", "--as=again", ...target);
    const server = `head -n 1 ${scratch}/*/data/postmaster.pid`;
    await expect.poll(async () => (await inShell(server)).exitCode, { timeout: 60_000, interval: 100 }).toBe(0);
    const left = (await inShell(server)).stdout.trim();
    await inShell(
      `for p in /proc/[0-9]*; do grep -qa "[e]xtract-table" "$p/cmdline" && kill -KILL "\${p#/proc/}"; done; true`,
    );
    expect((await killed).exitCode).not.toBe(0);
    expect((await inShell(`kill -0 ${left}`)).exitCode).toBe(0);
    const { exitCode, stdout, stderr } = await inJob(
      "extract-table",
      "--database=app",
      "--table=public.goods",
      "--as=again",
      ...target,
    );
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    expect(stdout).toContain("removing leftovers of a killed drill");
    expect((await inShell(`kill -0 ${left}; ls ${scratch}`)).stdout.trim()).not.toMatch(/orders-/);
    expect(await stack.sql(POD, SUM.replace("public.goods", "again.goods"))).toBe(wanted);
  });

  // claim: docs/kubernetes/table.md: extensions with images of their own are mounted (the API server takes the Job;
  //   the double of the kubelet has no volumes of images)
  test("the API server takes a Job with an extension's image", async () => {
    const extension = `{"name":"pgvector","image":{"reference":"ghcr.io/cloudnative-pg/pgvector:18"}}`;
    const { exitCode, stdout, stderr } = await stack.lab.shell(
      `kubectl get cluster orders -o json | sed 's#"name": "orders"#"name": "other"#; s#"postgresql": {#"postgresql": {"extensions": [${extension}],#' |
         kubectl exec -i ${POD} -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop cnpg-job |
         kubectl apply --dry-run=server -o json -f -`,
    );
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    expect(stdout).toContain("ghcr.io/cloudnative-pg/pgvector:18");
  });

  // claim: docs/kubernetes/table.md: deleting the Job removes its volume
  test("the Job goes with its volume", async () => {
    await runPrinted("delete job");
    await expect
      .poll(async () => (await stack.lab.kubectl.runOk(["get", "pvc", "-o", "name"])).includes("table"), {
        timeout: 60_000,
      })
      .toBe(false);
  });
});
