/**
 * What a thief with this key would do to a container of Azure Blob Storage. What the rights mean: "Blob versioning",
 * "Soft delete for blobs", "Delete Blob", "Delete Blob Immutability Policy", "Set Blob Service Properties".
 */
import type { Random } from "../../base/random";
import { fail } from "../../base/errors";
import {
  type Attempt,
  type AttackTarget,
  judged,
  type Looked,
  NO_XML,
  sendAttack,
  type Stolen,
  type StoreAttacks,
  undoable,
} from "../objectStore/attack";
import { lockOf } from "../objectStore/objectVersions";
import { DENIED } from "../objectStore/probeFacts";
import { headerOf, type StoreAnswer, type StoreRequest } from "../objectStore/storeHttp";
import type { Verdict } from "../space";
import { POLICY_HEADER } from "./azureAnswer";
import type { AzureHttp } from "./azureHttp";
import { blobBody, putBlob } from "./blobUpload";

const SIGNATURE = "use a signature of the container with the rights racwdl";
const NO_BLOCKS = '<?xml version="1.0" encoding="utf-8"?><BlockList></BlockList>';

export class BlobAttacks implements StoreAttacks {
  readonly withoutVersions =
    "the container keeps no versions: what this key overwrites or deletes is gone for good, also with soft delete, which forgets a deleted blob when a thief writes one of another type; switch on versions and soft delete of the account";
  readonly advice = {
    lost: `this key deletes versions, and no soft delete keeps them: ${SIGNATURE}, and switch on soft delete of blobs`,
    unreturned:
      "this key deletes versions, and may not bring back what soft delete keeps, so nothing shows that it is kept: drill with a key that may write",
  };
  readonly rounds: StoreAttacks["rounds"];
  readonly settings: StoreAttacks["settings"];
  readonly #http: AzureHttp;
  readonly #target: AttackTarget;
  readonly #random: Random;

  constructor(http: AzureHttp, target: AttackTarget, random: Random) {
    this.#http = http;
    this.#target = target;
    this.#random = random;
    this.rounds = [
      [
        ["delete", (file) => this.#delete(file)],
        ["overwrite", (file) => this.#overwrite(file)],
        ["empty", (file) => this.#empty(file)],
      ],
      [
        ["delete-version", (file) => this.#deleteVersion(file)],
        ["unlock", (file) => this.#unlock(file)],
        ["permanent", (file) => this.#deleteForGood(file)],
      ],
    ];
    this.settings = [["soft-delete", (files) => this.#switchOff(files)]];
  }

  async look({ key }: Pick<Stolen, "key">): Promise<Looked> {
    const answer = await this.#ask({ method: "HEAD", key });
    const versionId = headerOf(answer, "x-ms-version-id") ?? "";
    return { answer, versionId, ...lockOf(answer, POLICY_HEADER) };
  }

  /** Brings back all deleted versions of the blob, under their ids. */
  async undelete({ key, versionId }: Stolen): Promise<string> {
    const { status } = await this.#ask({ method: "PUT", key, query: { comp: "undelete" }, expected: [200] });
    if (DENIED.includes(status)) throw fail("access", `the service refuses to undelete blobs: [${status}]`);
    return versionId;
  }

  #ask(request: Omit<StoreRequest, "doing" | "path">): Promise<StoreAnswer & { readonly text: string }> {
    return sendAttack(this.#http, this.#target, request);
  }

  async #delete({ key }: Stolen): Promise<Verdict> {
    const { status } = await this.#ask({ method: "DELETE", key });
    return undoable(status, "hides blobs");
  }

  async #overwrite({ key, path }: Stolen): Promise<Verdict> {
    const { status } = await this.#ask(putBlob({ key, path, name: path }, blobBody(this.#random.bytes(100))));
    return undoable(status, "overwrites blobs");
  }

  async #empty({ key }: Stolen): Promise<Verdict> {
    const body = blobBody(Buffer.from(NO_BLOCKS, "utf8"));
    const { status } = await this.#ask({ method: "PUT", key, query: { comp: "blocklist" }, body });
    return undoable(status, "overwrites blobs by an empty list of blocks");
  }

  async destroy({ key, versionId }: Pick<Stolen, "key" | "versionId">): Promise<number> {
    return (await this.#ask({ method: "DELETE", key, query: { versionid: versionId } })).status;
  }

  async #deleteVersion(file: Stolen): Promise<Attempt> {
    const status = await this.destroy(file);
    if (status >= 300) return judged(status, "");
    return { verdict: "warn", text: `this key deletes versions, which only soft delete undoes: ${SIGNATURE}` };
  }

  /** The policy of a version ends by a request of its own, unless it is locked. */
  async #unlock(file: Stolen): Promise<Attempt> {
    const query = { comp: "immutabilityPolicies", versionid: file.versionId };
    const { status } = await this.#ask({ method: "DELETE", key: file.key, query, expected: [200] });
    const deleted = await this.#deleteVersion(file);
    if (status >= 300) return deleted;
    const isLocked = file.lockedUntilMs !== undefined;
    const remedy = `lock the policy of the container (az storage container immutability-policy lock), or ${SIGNATURE}`;
    return isLocked
      ? { verdict: "fail", text: `this key ends the immutability policy of a version: ${remedy}` }
      : { verdict: "warn", text: `the key may end immutability policies; the file showed none: ${SIGNATURE}` };
  }

  /** Needs a right of its own, and an account that allows it. */
  async #deleteForGood(file: Stolen): Promise<Attempt> {
    const deleted = await this.#deleteVersion(file);
    const query = { versionid: file.versionId, deletetype: "permanent" };
    const { status } = await this.#ask({ method: "DELETE", key: file.key, query });
    if (status >= 300) return deleted;
    const text = `this key deletes for good what soft delete keeps: ${SIGNATURE}, and forbid permanent deletes in the account`;
    return { verdict: "fail", text };
  }

  /** Only the account's key may set its properties. Locked versions stay in any case. */
  async #switchOff(files: readonly Stolen[]): Promise<Verdict> {
    const query = { restype: "service", comp: "properties" };
    const body = blobBody(Buffer.from(NO_XML, "utf8"));
    const { status } = await this.#ask({ method: "PUT", isOfAccount: true, query, body, expected: [202] });
    if (DENIED.includes(status)) return { verdict: "ok", text: "the key may not" };
    if ([404, 405, 501].includes(status))
      return { verdict: "skip", text: `the service has no such request: [${status}]` };
    const isLocked = files.every(({ lockedUntilMs }) => lockedUntilMs !== undefined);
    const text = `this key may switch soft delete of the account off ([${status}]), and then deletes versions for good: ${SIGNATURE}`;
    return { verdict: isLocked ? "warn" : "fail", text };
  }
}
