/** The programs of the published set-ups on the real engine: what a preview shows, and that it has no findings. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SidecarOutputs, SidecarSettings } from "../../examples/logical-sidecar/program";
import type { B2Outputs, B2Settings } from "../../examples/vps-b2/program";
import type { NasR2Outputs, NasR2Settings } from "../../examples/vps-nas-r2/program";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { loadExample, openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { B2ServerDouble } from "../harness/doubles/b2Server";

const SECRET = "never-to-be-seen-0123456789";
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl backup";

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
  const { program } = await loadExample<{ program: (settings: NasR2Settings) => NasR2Outputs }>(
    programFolder,
    "vps-nas-r2",
  );
  const settings: NasR2Settings = {
    accountId: "21ee32956d11b5baf662d186bd0b4ab4",
    bucket: "nix-homelab-prod-servers",
    accessKeyId: "0123456789abcdef0123456789abcdef",
    secretAccessKey: SECRET,
    host: { nodePath: await ensureNode() },
  };
  const { stdout } = await (await openStack(programFolder, "nas-r2", async () => program(settings))).preview({
    diff: true,
  });
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
  const { program } = await loadExample<{ program: (settings: B2Settings) => B2Outputs }>(programFolder, "vps-b2");
  const settings: B2Settings = {
    bucket: "acme-pg-backups",
    backupHost: { host: "backup.example.net", user: "pgbackrest", hostKey: HOST_KEY, privateKey: SECRET },
    host: { nodePath: await ensureNode() },
  };
  const stack = await openStack(programFolder, "b2", async () => program(settings));
  await stack.setAllConfig({
    "b2:applicationKeyId": { value: server.admin.applicationKeyId },
    "b2:applicationKey": { value: server.admin.applicationKey, secret: true },
    "b2:endpoint": { value: server.endpoint },
  });
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
