/**
 * Tests a container and a key beyond the contract of storages: certificates, the clock, pages of a listing, conditional
 * writes, versions. Every blob is below one directory, which the caller removes.
 */
import { utf8 } from "../../base/bytes";
import { lockOf } from "../objectStore/objectVersions";
import {
  asDanger,
  DENIED,
  judgeRefusal,
  NEVER_WRITTEN,
  probeClock,
  probePages,
  type StoreProbe,
  tlsFact,
} from "../objectStore/probeFacts";
import { headerOf, type StoreAnswer, type StoreRequest } from "../objectStore/storeHttp";
import { asked, type Verdict } from "../space";
import type { Storage, StorageFact } from "../storage";
import { parseBlobPage, POLICY_HEADER } from "./azureAnswer";
import type { AzureHttp } from "./azureHttp";
import { blobBody, putBlob } from "./blobUpload";

export interface BlobProbe extends StoreProbe {
  readonly http: AzureHttp;
  readonly storage: Required<Pick<Storage, "create" | "put" | "replace">>;
  /** The directory for probes. */
  readonly scratch: string;
}

/** A policy or a legal hold keeps the version ("Immutable storage for blob versions"). */
const HELD = 409;

export async function probeBlobs(probe: BlobProbe): Promise<StorageFact[]> {
  return [
    tlsFact(probe),
    await asked("clock", () => probeClock(probe, listRequest(probe, { maxresults: "1" }))),
    await asked("pages", () => probeListing(probe)),
    await asked("create", () => probeCreate(probe)),
    await asked("versions", () => probeVersions(probe)),
  ];
}

function listRequest({ name, prefix }: BlobProbe, more: Readonly<Record<string, string>>): StoreRequest {
  const query = { restype: "container", comp: "list", prefix: `${prefix}/page/`, ...more };
  return { method: "GET", query, doing: `list '${name}' in pages` };
}

async function probeListing(probe: BlobProbe): Promise<Verdict> {
  const { http, prefix, repoIndex, scratch, storage } = probe;
  return probePages({
    put: (path) => storage.put(`${scratch}/${path}`, utf8("x")),
    ask: (next: Readonly<Record<string, string>> | null, pageSize) => {
      const request = listRequest(probe, { maxresults: String(pageSize), ...next });
      return http.exchangeText(request, (text, facts) => parseBlobPage(text, `${prefix}/page/`, facts));
    },
    doing: listRequest(probe, {}).doing,
    repoIndex,
    title: "blobs",
  });
}

/** The lease of a stanza needs both conditions. */
async function probeCreate({ scratch, storage }: BlobProbe): Promise<Verdict> {
  const path = `${scratch}/create`;
  await storage.put(path, utf8("x"));
  if (await storage.create(path, utf8("y")))
    return { verdict: "fail", text: "the service created a blob that exists: it does not support If-None-Match" };
  if (await storage.replace(path, utf8("z"), '"0x0"'))
    return { verdict: "fail", text: "the service replaced a blob that has changed: it does not support If-Match" };
  const text = "a blob that exists is not created again (If-None-Match), nor a changed one replaced (If-Match)";
  return { verdict: "ok", text };
}

/** An attacker needs a key that deletes versions. In a container without versions not even that is needed. */
async function probeVersions({ clock, http, name, prefix, scratch }: BlobProbe): Promise<Verdict> {
  const key = `${prefix}/version`;
  const write = async (): Promise<string> => {
    const put = putBlob({ key, path: `${scratch}/version`, name: `${name}/version` }, blobBody(utf8("x")));
    return headerOf(await http.exchangeHead(put), "x-ms-version-id") ?? "";
  };
  const ask = (request: Pick<StoreRequest, "method" | "key">): Promise<StoreAnswer> =>
    http.exchangeHead({
      ...request,
      query: { versionid: replaced },
      expected: [...DENIED, 400, 404, HELD],
      doing: `delete a version of '${name}'`,
    });
  const replaced = await write();
  if (replaced === "") {
    const text =
      "the container keeps no versions: only soft delete, if it is on, brings back what this key deletes or overwrites";
    return { verdict: "warn", text };
  }
  // No key may delete the current version by its id.
  await write();
  const { lockedUntilMs } = lockOf(await ask({ method: "HEAD", key }), POLICY_HEADER);
  const { status } = await ask({ method: "DELETE", key });
  if (status < 300) {
    const text =
      "this key can delete versions: a thief of the key can destroy every backup; use a signature without that right";
    return { verdict: "warn", text };
  }
  if (![...DENIED, HELD].includes(status))
    return { verdict: "skip", text: `the service answers ${status} to the deletion of a version` };
  const destroyMissing = async (): Promise<number> =>
    (await ask({ method: "DELETE", key: `${prefix}/${NEVER_WRITTEN}` })).status;
  return asDanger(await judgeRefusal({ destroyMissing, locks: [lockedUntilMs], nowMs: clock.nowMs() }));
}
