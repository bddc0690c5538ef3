/** Volumes are folders. The folder of a claim lives as long as the claim's object, other folders as long as the pod. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ApiError, get, mergePatch, post } from "./api";
import { CONFIG } from "./config";
import { fieldOf } from "./container";
import type { ClaimObject, DataObject, FieldItem, FileSource, ListOf, Projected, TokenSource, Volume } from "./objects";
import type { Pod } from "./pod";
import { logError, sleep } from "./util";

/** Waits half a minute for a missing object, as the kubelet retries a mount. */
const TRIES = 100;
const FILE_MODE = 0o644;

/** Makes the pod's volumes. Adds functions that refresh secrets and config maps to `pod.refresh`. */
export async function makeVolumes(pod: Pod): Promise<Readonly<Record<string, string>>> {
  const folders: Record<string, string> = {};
  for (const volume of pod.object.spec.volumes ?? []) folders[volume.name] = await makeVolume(pod, volume);
  return folders;
}

async function makeVolume(pod: Pod, volume: Volume): Promise<string> {
  const { metadata, spec } = pod.object;
  if (volume.hostPath !== undefined) return join(CONFIG.hostFolder, volume.hostPath.path);
  // A controller makes the claim of an ephemeral volume.
  const ownClaim = { claimName: `${metadata.name}-${volume.name}` };
  const claim = volume.ephemeral === undefined ? volume.persistentVolumeClaim : ownClaim;
  const folder =
    claim === undefined
      ? join(pod.folder, "volumes", volume.name)
      : claimFolder(
          (await awaitObject<ClaimObject>(metadata.namespace, "persistentvolumeclaims", claim.claimName))?.metadata
            .uid ?? "",
        );
  mkdirSync(folder, { recursive: true });
  const { secret, configMap } = volume;
  if (secret !== undefined || configMap !== undefined) {
    const renew = (): Promise<void> =>
      secret === undefined ? fill(pod, folder, "configmaps", configMap ?? {}) : fill(pod, folder, "secrets", secret);
    await renew();
    pod.refresh.push(renew);
  } else if (volume.downwardAPI !== undefined) {
    writeFields(pod, folder, volume.downwardAPI.items);
  } else if (volume.projected !== undefined) {
    await project(pod, folder, volume.projected);
  } else if (claim === undefined && volume.emptyDir === undefined) {
    throw new Error(`volume ${volume.name} is of a kind that is not simulated`);
  }
  chmodSync(folder, 0o2777);
  if (spec.securityContext?.fsGroup !== undefined) chownSync(folder, 0, spec.securityContext.fsGroup);
  return folder;
}

async function project(pod: Pod, folder: string, { sources, defaultMode }: Projected): Promise<void> {
  const mode = defaultMode === undefined ? {} : { defaultMode };
  for (const { serviceAccountToken: token, configMap, secret, downwardAPI } of sources) {
    if (token !== undefined) writeChanged(pod, join(folder, token.path), await tokenOf(pod, token), defaultMode);
    if (downwardAPI !== undefined) writeFields(pod, folder, downwardAPI.items);
    const renew = async (): Promise<void> => {
      if (configMap !== undefined) await fill(pod, folder, "configmaps", { ...configMap, ...mode });
      if (secret !== undefined) await fill(pod, folder, "secrets", { ...secret, ...mode });
    };
    await renew();
    pod.refresh.push(renew);
  }
}

function claimFolder(uid: string): string {
  return join(CONFIG.stateFolder, "claims", uid);
}

/** Returns null if the object is optional and does not exist. */
async function awaitObject<T>(namespace: string, kind: string, name: string, optional = false): Promise<T | null> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await get<T>(`/api/v1/namespaces/${namespace}/${kind}/${name}`);
    } catch (error) {
      if (optional && error instanceof ApiError && error.code === 404) return null;
      if (attempt > TRIES) throw error;
      await sleep(300);
    }
  }
}

/** Writes the keys of a secret or config map as files. Replaces each file atomically, and only if it differs. */
async function fill(pod: Pod, folder: string, kind: "secrets" | "configmaps", source: FileSource): Promise<void> {
  const result = await awaitObject<DataObject>(
    pod.object.metadata.namespace,
    kind,
    source.secretName ?? source.name ?? "",
    source.optional,
  );
  const data = new Map<string, string | Buffer>();
  for (const [key, value] of Object.entries(result?.data ?? {}))
    data.set(key, kind === "secrets" ? Buffer.from(value, "base64") : value);
  for (const [key, value] of Object.entries(result?.binaryData ?? {})) data.set(key, Buffer.from(value, "base64"));
  const wanted = source.items?.map(({ path, key }): [string, string | Buffer | undefined] => [path, data.get(key)]) ?? [
    ...data,
  ];
  for (const [path, content] of wanted)
    if (content !== undefined) writeChanged(pod, join(folder, path), content, source.defaultMode);
}

function writeFields(pod: Pod, folder: string, items: readonly FieldItem[]): void {
  for (const { path, fieldRef } of items) writeChanged(pod, join(folder, path), fieldOf(pod, fieldRef.fieldPath));
}

function writeChanged(pod: Pod, file: string, content: string | Buffer, mode = FILE_MODE): void {
  const group = pod.object.spec.securityContext?.fsGroup;
  const data = Buffer.from(content);
  mkdirSync(dirname(file), { recursive: true });
  if (existsSync(file) && readFileSync(file).equals(data)) return;
  writeFileSync(`${file}.new`, data);
  if (group !== undefined) chownSync(`${file}.new`, 0, group);
  // With fsGroup, the kubelet lets the group read what the owner can read.
  chmodSync(`${file}.new`, group === undefined ? mode : mode | ((mode & 0o400) >> 3));
  renameSync(`${file}.new`, file);
}

async function tokenOf(pod: Pod, source: TokenSource): Promise<string> {
  const { metadata, spec } = pod.object;
  const path = `/api/v1/namespaces/${metadata.namespace}/serviceaccounts/${spec.serviceAccountName ?? "default"}/token`;
  const answer = await post<{ readonly status: { readonly token: string } }>(path, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: {
      audiences: source.audience === undefined ? [] : [source.audience],
      expirationSeconds: source.expirationSeconds,
      boundObjectRef: { kind: "Pod", apiVersion: "v1", name: metadata.name, uid: metadata.uid },
    },
  });
  return answer.status.token;
}

/** Binds every claim immediately and removes the folders of deleted claims (reclaim policy Delete). */
export async function bindClaims(): Promise<void> {
  const claims = (await get<ListOf<ClaimObject>>("/api/v1/persistentvolumeclaims")).items;
  const folder = claimFolder("");
  for (const uid of existsSync(folder) ? readdirSync(folder) : [])
    if (!claims.some((claim) => claim.metadata.uid === uid)) rmSync(claimFolder(uid), { recursive: true, force: true });
  for (const { metadata, spec, status } of claims) {
    if (status.phase === "Bound") continue;
    await mergePatch(`/api/v1/namespaces/${metadata.namespace}/persistentvolumeclaims/${metadata.name}/status`, {
      status: { phase: "Bound", capacity: spec.resources.requests, accessModes: spec.accessModes },
    }).catch(logError);
  }
}
