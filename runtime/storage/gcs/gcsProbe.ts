/**
 * Tests a bucket and a key beyond the contract of storages: certificates, the clock, pages of a listing, conditional
 * writes, versions. Every object is below one directory, which the caller removes; a version that the key cannot delete
 * stays as a replaced one.
 */
import { utf8 } from "../../base/bytes";
import { nullOn } from "../../base/errors";
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
import type { StoreRequest } from "../objectStore/storeHttp";
import { asked, type Verdict } from "../space";
import type { Storage, StorageFact } from "../storage";
import { INFO_FIELDS, PAGE_FIELDS, parseObject, parseObjectPage } from "./gcsAnswer";
import type { GcsHttp } from "./gcsHttp";

export interface GcsProbe extends StoreProbe {
  readonly http: GcsHttp;
  readonly storage: Required<Pick<Storage, "create" | "put" | "replace" | "stat">>;
  /** The directory for probes. */
  readonly scratch: string;
}

const CLOCK_RULE = "which gives tokens for keys only within minutes of its own time";

export async function probeGcs(probe: GcsProbe): Promise<StorageFact[]> {
  return [
    tlsFact(probe),
    await asked("clock", () => probeClock(probe, listRequest(probe, { maxResults: "1" }), CLOCK_RULE)),
    await asked("pages", () => probeListing(probe)),
    await asked("create", () => probeCreate(probe)),
    await asked("versions", () => probeVersions(probe)),
  ];
}

function listRequest({ name, prefix }: GcsProbe, more: Readonly<Record<string, string>>): StoreRequest {
  return {
    method: "GET",
    query: { prefix: `${prefix}/page/`, fields: PAGE_FIELDS, ...more },
    doing: `list '${name}' in pages`,
  };
}

async function probeListing(probe: GcsProbe): Promise<Verdict> {
  const { http, prefix, repoIndex, scratch, storage } = probe;
  return probePages({
    put: (path) => storage.put(`${scratch}/${path}`, utf8("x")),
    ask: (next: Readonly<Record<string, string>> | null, pageSize) => {
      const request = listRequest(probe, { maxResults: String(pageSize), ...next });
      return http.exchangeText(request, (text, facts) => parseObjectPage(text, `${prefix}/page/`, facts));
    },
    doing: listRequest(probe, {}).doing,
    repoIndex,
    title: "objects",
  });
}

/** The lease of a stanza needs both conditions. */
async function probeCreate({ scratch, storage }: GcsProbe): Promise<Verdict> {
  const path = `${scratch}/create`;
  await storage.put(path, utf8("x"));
  if (await storage.create(path, utf8("y")))
    return {
      verdict: "fail",
      text: "the service created an object that exists: it does not support ifGenerationMatch",
    };
  if (await storage.replace(path, utf8("z"), "1"))
    return { verdict: "fail", text: "the service replaced an object that has changed: it ignores ifGenerationMatch" };
  const text = "an object that exists is not created again, nor a changed one replaced (ifGenerationMatch)";
  return { verdict: "ok", text };
}

/** An attacker needs a key that deletes versions. In a bucket without versions not even that is needed. */
async function probeVersions({ clock, http, name, prefix, scratch, storage }: GcsProbe): Promise<Verdict> {
  const [path, key] = [`${scratch}/version`, `${prefix}/version`];
  await storage.put(path, utf8("x"));
  const generation = (await storage.stat(path))?.version ?? "";
  await storage.put(path, utf8("y"));
  const doing = `get a version of '${name}'`;
  const find: StoreRequest = { method: "GET", key, query: { generation, fields: INFO_FIELDS }, doing };
  const answer = http.exchangeText(find, (text, facts) => parseObject(text, key, facts));
  const former = await nullOn(answer, "fileMissing", "pathMissing");
  if (former === null) {
    const text =
      "the bucket keeps no versions: only soft delete, if it is on, brings back what this key deletes or overwrites";
    return { verdict: "warn", text };
  }
  const destroy = async (target: string): Promise<number> => {
    const request: StoreRequest = {
      method: "DELETE",
      key: target,
      query: { generation },
      expected: [...DENIED, 400, 404, 412],
      doing: `delete a version of '${name}'`,
    };
    return (await http.exchangeHead(request)).status;
  };
  const status = await destroy(key);
  if (status < 300) {
    const text =
      "this key can delete versions, as every key can that may overwrite: only soft delete or a retention policy stops a thief of the key";
    return { verdict: "warn", text };
  }
  if (!DENIED.includes(status))
    return { verdict: "skip", text: `the service answers ${status} to the deletion of a version` };
  const destroyMissing = (): Promise<number> => destroy(`${prefix}/${NEVER_WRITTEN}`);
  return asDanger(await judgeRefusal({ destroyMissing, locks: [former.lockedUntilMs], nowMs: clock.nowMs() }));
}
