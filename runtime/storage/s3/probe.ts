/**
 * Tests an object store and a key beyond the contract of storages: pages of a listing, aborted uploads, versions, the
 * clock, certificates. Every object is below one prefix, which the caller removes; a version that the key cannot delete
 * stays as a replaced one.
 */
import type { ListedPage } from "../objectStore/keyPrefix";
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
import { asked, type Verdict } from "../space";
import type { StorageFact } from "../storage";
import { LOCK_HEADER, parseListPage, parseUploadId } from "./answer";
import { bodyOf, headerOf, type S3Answer, type S3Http, type S3Request } from "./http";

export interface ProbeTarget extends StoreProbe {
  readonly http: S3Http;
  /** The provider's row promises `If-None-Match`. */
  readonly conditionalWrites: boolean;
}

export async function probeS3(target: ProbeTarget): Promise<StorageFact[]> {
  return [
    tlsFact(target),
    await asked("clock", () => probeClock(target, clockRequest(target))),
    await asked("pages", () => probeListing(target)),
    await asked("abort-upload", () => probeAbort(target)),
    await asked("create", () => probeCreate(target)),
    await asked("versions", () => probeVersions(target)),
  ];
}

function clockRequest({ name, prefix }: ProbeTarget): S3Request {
  return { method: "GET", query: { "list-type": "2", prefix, "max-keys": "1" }, doing: `list '${name}'` };
}

async function probeListing(target: ProbeTarget): Promise<Verdict> {
  const { http, name, prefix, repoIndex } = target;
  const folder = `${prefix}/page/`;
  const doing = `list '${name}' in pages`;
  return probePages({
    put: (path) => put(target, path),
    ask: (next: ListedPage["next"], pageSize) => {
      const query = { "list-type": "2", prefix: folder, "max-keys": String(pageSize), ...next };
      return http.exchangeText({ method: "GET", query, doing }, (text, facts) => parseListPage(text, folder, facts));
    },
    doing,
    repoIndex,
    title: "objects",
  });
}

async function probeAbort({ http, name, prefix }: ProbeTarget): Promise<Verdict> {
  const key = `${prefix}/upload`;
  const begin: S3Request = { method: "POST", key, query: { uploads: "" }, doing: `begin an upload to '${name}'` };
  const uploadId = await http.exchangeText(begin, parseUploadId);
  await http.exchangeHead({ method: "DELETE", key, query: { uploadId }, doing: `abort an upload to '${name}'` });
  return { verdict: "ok", text: "an upload can be aborted, and its parts cost nothing" };
}

/**
 * Tests how the lease of a stanza can be claimed. Both methods are safe. A service whose row promises conditions must
 * honour them.
 */
async function probeCreate(target: ProbeTarget): Promise<Verdict> {
  const { http, name, prefix, conditionalWrites } = target;
  await put(target, "create");
  const write = async (doing: string, headers: Readonly<Record<string, string>>): Promise<number> => {
    const key = `${prefix}/create`;
    const body = bodyOf(utf8("y"), true);
    const request: S3Request = {
      method: "PUT",
      key,
      headers,
      body,
      expected: [304, 400, 404, 409, 412, 501],
      doing: `${doing} '${name}'`,
    };
    return (await http.exchangeHead(request)).status;
  };
  const created = await write("create again", { "if-none-match": "*" });
  const wrong = (what: string, status: number): Verdict => ({
    verdict: "fail",
    text: `the service ${what}, or refused ([${status}]): correct s3Quirks in the settings file`,
  });
  if (!conditionalWrites) {
    const known = created === 412;
    const text = known ? "an object that exists is not created again (If-None-Match)" : WITHOUT_CONDITIONS;
    return { verdict: "ok", text };
  }
  if (created !== 412) return wrong("created an object that exists", created);
  const replaced = await write("replace", { "if-match": '"00000000000000000000000000000000"' });
  if (replaced !== 412) return wrong("replaced an object that another process has changed", replaced);
  return {
    verdict: "ok",
    text: "an object that exists is not created again (If-None-Match), nor a changed one replaced (If-Match)",
  };
}

const WITHOUT_CONDITIONS = "the service does not support If-None-Match: writers detect each other through listings";

/** An attacker needs a key that deletes versions. In a bucket without versions not even that is needed. */
async function probeVersions(target: ProbeTarget): Promise<Verdict> {
  const { http, name, prefix } = target;
  const version = headerOf(await put(target, "version"), "x-amz-version-id");
  if (version === undefined || version === "null" || version === "") {
    return { verdict: "warn", text: "the bucket keeps no versions: this key can delete or overwrite data permanently" };
  }
  const destroy = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<number> => {
    const request: S3Request = {
      method: "DELETE",
      key: `${prefix}/${path}`,
      query: { versionId: version },
      headers,
      expected: [...DENIED, 400, 404, 405, 501],
      doing: `delete a version of '${name}'`,
    };
    return (await http.exchangeHead(request)).status;
  };
  const head = await http.exchangeHead({ method: "HEAD", key: `${prefix}/version`, doing: `get info of '${name}'` });
  const { lockedUntilMs } = lockOf(head, LOCK_HEADER);
  const status = await destroy("version");
  if (status >= 300 && !DENIED.includes(status))
    return { verdict: "skip", text: `the service answers ${status} to the deletion of a version` };
  if (status < 300 || (await destroy("version", { "x-amz-bypass-governance-retention": "true" })) < 300)
    return {
      verdict: "warn",
      text: "this key can delete versions: a thief of the key can destroy every backup; use a key without that right",
    };
  const refusal = { destroyMissing: () => destroy(NEVER_WRITTEN), locks: [lockedUntilMs], nowMs: target.clock.nowMs() };
  return asDanger(await judgeRefusal(refusal));
}

function put({ http, name, prefix }: ProbeTarget, path: string): Promise<S3Answer> {
  return http.exchangeHead({
    method: "PUT",
    key: `${prefix}/${path}`,
    body: bodyOf(utf8("x"), true),
    doing: `put '${name}/${path}'`,
  });
}
