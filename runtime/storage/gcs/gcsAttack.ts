/**
 * What a thief with this key would do to a bucket of Google Cloud Storage. Who may overwrite an object may delete its
 * versions too, so soft delete decides: "Soft delete", "Objects: restore", "Buckets: testIamPermissions".
 */
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import { given } from "../../base/given";
import type { Random } from "../../base/random";
import {
  type Attempt,
  type AttackTarget,
  judged,
  type Looked,
  sendAttack,
  type Stolen,
  type StoreAttacks,
  undoable,
} from "../objectStore/attack";
import type { ListedVersion, VersionPage } from "../objectStore/objectVersions";
import type { VersionedBucket } from "../objectStore/past";
import { DENIED } from "../objectStore/probeFacts";
import type { StoreAnswer, StoreRequest } from "../objectStore/storeHttp";
import type { Verdict } from "../space";
import { ANSWER_FIELDS, INFO_FIELDS, parseObject } from "./gcsAnswer";
import type { GcsHttp } from "./gcsHttp";
import { objectBody, putObject } from "./gcsUpload";

/** Rights of a bucket, by the name of the fact, and what they mean. */
const PERMISSIONS = [
  ["settings", "storage.buckets.update", "switch soft delete and versions off"],
  ["policy", "storage.buckets.setIamPolicy", "give itself every right to the bucket"],
] as const;
const LEAST = "give the account only roles/storage.objectUser and roles/storage.legacyBucketReader on this bucket";

export class GcsAttacks implements StoreAttacks {
  /** Never said: every object has a generation. */
  readonly withoutVersions = "an object has no generation";
  readonly advice = {
    lost: "every key that may overwrite deletes versions too, and no soft delete keeps them: switch on soft delete of the bucket for 7 days or more",
    unreturned:
      "this key may not restore what soft delete keeps (storage.objects.restore, as in roles/storage.objectUser), so nothing shows that it is kept",
  };
  readonly rounds: StoreAttacks["rounds"];
  readonly settings: StoreAttacks["settings"];
  readonly #http: GcsHttp;
  readonly #target: AttackTarget;
  readonly #random: Random;

  constructor(http: GcsHttp, target: AttackTarget, random: Random) {
    this.#http = http;
    this.#target = target;
    this.#random = random;
    this.rounds = [
      [
        ["delete", (file) => this.#delete(file)],
        ["overwrite", (file) => this.#overwrite(file, this.#random.bytes(100))],
        ["empty", (file) => this.#overwrite(file, new Uint8Array(0))],
      ],
      [["delete-version", (file) => this.#deleteVersion(file)]],
    ];
    this.settings = PERMISSIONS.map(([name, permission, what]) => [name, () => this.#permission(permission, what)]);
  }

  async look({ key }: Pick<Stolen, "key">): Promise<Looked> {
    const request = { method: "GET", key, query: { fields: INFO_FIELDS } } as const;
    const answer = await this.#ask(request);
    const { generation, lockedUntilMs } = parseObject(
      answer.text,
      key,
      this.#http.factsOf({ ...request, doing: "look at an object" }),
    );
    return { answer, versionId: generation, ...given({ lockedUntilMs }) };
  }

  /** The restored object is a new one. */
  async undelete({ key, versionId }: Stolen): Promise<string | null> {
    const query = { generation: versionId, fields: ANSWER_FIELDS };
    const request = { method: "POST", key, action: "restore", query } as const;
    const { status, text } = await this.#ask(request);
    if (DENIED.includes(status)) throw fail("access", `the service refuses to restore objects: [${status}]`);
    if (status >= 300) return null;
    return parseObject(text, key, this.#http.factsOf({ ...request, doing: "restore an object" })).generation;
  }

  #ask(request: Omit<StoreRequest, "doing" | "path">): Promise<StoreAnswer & { readonly text: string }> {
    return sendAttack(this.#http, this.#target, request);
  }

  async #delete({ key }: Stolen): Promise<Verdict> {
    const { status } = await this.#ask({ method: "DELETE", key });
    return undoable(status, "deletes objects");
  }

  async #overwrite({ key, path }: Stolen, bytes: Uint8Array): Promise<Verdict> {
    const { status } = await this.#ask(putObject({ key, path, name: path }, objectBody(bytes)));
    return undoable(status, bytes.length === 0 ? "overwrites objects by empty ones" : "overwrites objects");
  }

  async destroy({ key, versionId }: Pick<Stolen, "key" | "versionId">): Promise<number> {
    return (await this.#ask({ method: "DELETE", key, query: { generation: versionId } })).status;
  }

  /** Twice, because nothing may delete what soft delete keeps. */
  async #deleteVersion(file: Stolen): Promise<Attempt> {
    const status = await this.destroy(file);
    await this.destroy(file);
    if (status >= 300) return judged(status, "");
    const text = "the key deletes versions, as every key that may overwrite: only soft delete undoes it";
    return { verdict: "ok", text };
  }

  /** Asks only: a change that the service refuses for another reason would not show the right. */
  async #permission(permission: string, what: string): Promise<Verdict> {
    const query = { permissions: permission };
    const { status, text } = await this.#ask({ method: "GET", isOfBucket: true, action: "iam/testPermissions", query });
    const held = status < 300 ? permissionsOf(text) : null;
    if (held === null) return { verdict: "skip", text: `the service does not say whether the key may: [${status}]` };
    return held.includes(permission)
      ? { verdict: "fail", text: `this key may ${what} (${permission}): a thief destroys every backup; ${LEAST}` }
      : { verdict: "ok", text: "the key may not" };
  }
}

/** Null for anything but the service's answer, which has no field for an empty list. */
function permissionsOf(text: string): readonly unknown[] | null {
  try {
    const value: unknown = JSON.parse(text);
    if (!isFields(value) || value["kind"] !== "storage#testIamPermissionsResponse") return null;
    const { permissions = [] } = value;
    return Array.isArray(permissions) ? permissions : null;
  } catch {
    return null;
  }
}

/**
 * A bucket whose restored objects count as of the target time. Soft delete keeps objects without versions too, so the
 * past is read from any bucket.
 */
export function withReturned(
  bucket: VersionedBucket,
  returned: ReadonlyMap<string, string>,
  targetTimeMs: number,
): VersionedBucket {
  const dated = (version: ListedVersion): ListedVersion =>
    returned.get(version.key) === version.versionId ? { ...version, modifiedAtMs: targetTimeMs } : version;
  return {
    name: bucket.name,
    features: bucket.features,
    close: () => bucket.close(),
    read: (path, range, versionId) => bucket.read(path, range, versionId),
    keepsVersions: async () => true,
    async *versionPages(prefix, delimiter, doing): AsyncIterable<VersionPage> {
      for await (const page of bucket.versionPages(prefix, delimiter, doing))
        yield { ...page, versions: page.versions.map(dated) };
    },
  };
}
