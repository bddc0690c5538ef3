/** Stacks of the published set-ups for hosts. */
import type { Stack } from "@pulumi/pulumi/automation";
import type { B2Outputs, B2Settings } from "../../examples/vps-b2/program";
import type { NasR2Outputs, NasR2Settings } from "../../examples/vps-nas-r2/program";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { loadExample, openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import type { B2ServerDouble } from "../harness/doubles/b2Server";

/** In every stack, and in nothing that is printed. */
export const SECRET = "never-to-be-seen-0123456789";
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl backup";

type Engine = Pick<NonNullable<NasR2Settings["host"]>, "engine">;

export async function openNasR2(folder: ProgramFolder, engine: Engine = {}): Promise<Stack> {
  const { program } = await loadExample<{ program: (settings: NasR2Settings) => NasR2Outputs }>(folder, "vps-nas-r2");
  const settings: NasR2Settings = {
    accountId: "21ee32956d11b5baf662d186bd0b4ab4",
    bucket: "nix-homelab-prod-servers",
    accessKeyId: "0123456789abcdef0123456789abcdef",
    secretAccessKey: SECRET,
    host: { nodePath: await ensureNode(), ...engine },
  };
  return openStack(folder, "nas-r2", async () => program(settings));
}

export async function openB2(folder: ProgramFolder, server: B2ServerDouble, engine: Engine = {}): Promise<Stack> {
  const { program } = await loadExample<{ program: (settings: B2Settings) => B2Outputs }>(folder, "vps-b2");
  const settings: B2Settings = {
    bucket: "acme-pg-backups",
    backupHost: { host: "backup.example.net", user: "pgbackrest", hostKey: HOST_KEY, privateKey: SECRET },
    host: { nodePath: await ensureNode(), ...engine },
  };
  const stack = await openStack(folder, "b2", async () => program(settings));
  await stack.setAllConfig({
    "b2:applicationKeyId": { value: server.admin.applicationKeyId },
    "b2:applicationKey": { value: server.admin.applicationKey, secret: true },
    "b2:endpoint": { value: server.endpoint },
  });
  return stack;
}
