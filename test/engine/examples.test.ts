/** The programs of the published set-ups on the real engine: what a preview shows, and that it has no findings. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SidecarOutputs, SidecarSettings } from "../../examples/logical-sidecar/program";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { loadExample, openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { B2ServerDouble } from "../harness/doubles/b2Server";
import { openB2, openNasR2, SECRET } from "./hostStacks";

let programFolder: ProgramFolder;
let server: B2ServerDouble;

beforeAll(async () => {
  programFolder = await makeProgramFolder();
  server = await B2ServerDouble.start();
});
afterAll(async () => {
  await server?.stop();
  removeProgramFolder(programFolder);
});

test("NAS and R2: files, timers and an encrypted second repository, and no finding", async () => {
  const { stdout } = await (await openNasR2(programFolder)).preview({ diff: true });
  for (const location of ["/mnt/nas-backup/pgbackrest", "s3://nix-homelab-prod-servers/forge/pgbackrest"])
    expect(stdout).toContain(`"${location}"`);
  expect(stdout).toMatch(/provider *: "r2"/);
  for (const type of ["full", "diff", "incr"])
    expect(stdout).toContain(`/etc/systemd/system/pgbackstop-main-${type}.timer`);
  expect(stdout).toContain("archive_timeout");
  expect(stdout).not.toMatch(/PB\d{3} /);
  expect(stdout).not.toContain(SECRET);
});

test("a backup host and B2: the bucket and its key are included, and there is no finding", async () => {
  const stack = await openB2(programFolder, server);
  const { changeSummary, stdout } = await stack.preview({ diff: true });
  expect(stdout).toContain("acme-pg-backups");
  expect(stdout).toContain("sftp://pgbackrest@backup.example.net/srv/pgbackrest/pg-cluster");
  expect(stdout).toContain("pgbackstop-pg-cluster-incr.timer");
  expect(stdout).not.toMatch(/PB\d{3} /);
  expect(stdout).not.toContain(SECRET);
  expect(Object.keys(changeSummary)).toEqual(["create"]);
  expect(server.calls).toEqual([]);
});

test("a sidecar for a few tables: the backups are the same with and without it, and there is no finding", async () => {
  const { program } = await loadExample<{ program: (settings: SidecarSettings) => SidecarOutputs }>(
    programFolder,
    "logical-sidecar",
  );
  const settings: SidecarSettings = {
    directory: "/mnt/nas/pgbackrest",
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    bucket: "acme-shop-pg",
    keys: { accessKeyId: "0123456789abcdef", secretAccessKey: SECRET },
    sourceAddress: "db.example.net",
    host: { nodePath: await ensureNode() },
  };
  const { stdout } = await (await openStack(programFolder, "sidecar", async () => program(settings))).preview({
    diff: true,
  });
  for (const location of ["/mnt/nas/pgbackrest", "s3://acme-shop-pg/shop"]) expect(stdout).toContain(`"${location}"`);
  expect(stdout).toContain("max_slot_wal_keep_size = '4096MB'");
  expect(stdout).not.toMatch(/PB\d{3} /);
  expect(stdout).not.toContain(SECRET);
});
