/**
 * Repository components with a wrong value in any argument, at any depth, at once or late, or an unknown field beside
 * it: each is refused in words, or it is in what the component declares, and a host with it refuses it or renders. The
 * nightly form tries every argument with every value.
 */
// claim: docs/reference/components.md: an argument that is unknown, of another type or out of range is named, also
//   where no compiler has seen it
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import * as all from "../../../components/index";
import { type ArgumentType, ARGUMENT_TYPES } from "../../../components/plan/arguments/argumentTypes";
import { checkArguments } from "../../../components/plan/arguments/checkArguments";
import type { TargetSettings } from "../../../components/plan/repositories/repositoryTypes";
import { checkHost } from "../../../components/plan/rules";
import { hostFilesOf } from "../../../components/render/host/hostParts";
import { targetSettings } from "../../../components/repositories/common";
import type { Keys } from "../../../runtime/base/declaredTypes";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { type Answer, answerTo, isExplained, valueOf } from "../answers";
import { deferred, inputsOf } from "../deferredInputs";
import { plan } from "../plans";
import { drawn, fieldsBelow, STRANGE, withValue } from "../strangeValues";

/** Cases of each component in the short form. */
const CASES = NIGHTLY ? 40 : 20;
const ACCOUNT = "0123456789abcdef0123456789abcdef";
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJbQ2VvNLPQ3MbQjHuXgva780eFGEYRZhfuPbJ1yIAf";
const KEYS = { accessKeyId: "id", secretAccessKey: "key" };
const cipher = { passphrase: "a-long-passphrase" };

type Component = new (name: string, args: never) => { readonly target: all.RepositoryTarget };

interface Form {
  readonly name: string;
  readonly type: ArgumentType;
  readonly base: object;
  readonly component: Component;
}

const form = (name: string, type: ArgumentType, component: Component, base: object): Form => ({
  name,
  type,
  base,
  component,
});
const S3_BASE = { region: "eu-central-1", cipher };
const FORMS: readonly Form[] = [
  form("B2Repository with a new bucket", "B2RepositoryArgs", all.B2Repository, {
    bucket: { create: { name: "acme-orders-pg" } },
    credentials: { create: { reader: true } },
    cipher,
  }),
  form("B2Repository with an existing bucket", "B2RepositoryArgs", all.B2Repository, {
    bucket: { existing: { name: "acme-orders-pg" } },
    credentials: { keys: { applicationKeyId: "id", applicationKey: "key" } },
  }),
  form("AzureRepository with a new container", "AzureRepositoryArgs", all.AzureRepository, {
    container: { create: { accountName: "acmepg", location: "westeurope" } },
    credentials: { create: { reader: true } },
    immutableDays: 15,
    cipher,
  }),
  form("AzureRepository with an existing container", "AzureRepositoryArgs", all.AzureRepository, {
    container: { existing: { accountName: "acmepg", name: "orders", resourceGroupName: "backups" } },
    credentials: { keys: { key: "sas" } },
  }),
  form("AzureRepository of a machine", "AzureRepositoryArgs", all.AzureRepository, {
    container: { create: { accountName: "acmepg", location: "westeurope" } },
    credentials: { managedIdentity: { principalId: "identity" } },
  }),
  form("GcsRepository with a new bucket", "GcsRepositoryArgs", all.GcsRepository, {
    bucket: { create: { name: "acme-orders-pg", location: "EU" } },
    credentials: { create: { reader: true } },
    cipher,
  }),
  form("GcsRepository with an existing bucket", "GcsRepositoryArgs", all.GcsRepository, {
    bucket: { existing: { name: "acme-orders-pg" } },
    credentials: { keys: { key: "{}" } },
  }),
  form("R2Repository with a new bucket", "R2RepositoryArgs", all.R2Repository, {
    accountId: ACCOUNT,
    bucket: { create: { name: "acme-orders-pg" } },
    credentials: { create: { writerPermissionGroupId: "w", readerPermissionGroupId: "r" } },
    cipher,
  }),
  form("R2Repository with an existing bucket", "R2RepositoryArgs", all.R2Repository, {
    accountId: ACCOUNT,
    bucket: { existing: { name: "acme-orders-pg" } },
    credentials: { keys: KEYS },
  }),
  form("S3Repository with a new bucket", "S3RepositoryArgs", all.S3Repository, {
    ...S3_BASE,
    bucket: { create: { name: "acme-orders-pg" } },
    immutableDays: 15,
    credentials: { create: { recovery: true } },
  }),
  form("S3Repository with an existing bucket", "S3RepositoryArgs", all.S3Repository, {
    ...S3_BASE,
    bucket: { existing: { name: "acme-orders-pg" } },
    credentials: { existingSecret: { name: "keys" } },
  }),
  form("S3Repository with a role", "S3RepositoryArgs", all.S3Repository, {
    ...S3_BASE,
    bucket: { existing: { name: "acme-orders-pg", takeOver: true } },
    credentials: { role: { podIdentity: { clusterName: "c", namespace: "db", serviceAccount: "orders" } } },
  }),
  form("S3Repository of a machine", "S3RepositoryArgs", all.S3Repository, {
    ...S3_BASE,
    bucket: { create: { name: "acme-orders-pg" } },
    credentials: { instanceRole: { roleName: "db" } },
  }),
  form("S3CompatibleRepository", "S3CompatibleRepositoryArgs", all.S3CompatibleRepository, {
    bucket: { existing: { name: "acme-orders-pg", credentials: KEYS } },
    endpoint: "s3.eu-central-1.wasabisys.com",
    region: "eu-central-1",
    cipher,
  }),
  form("PosixRepository", "PosixRepositoryArgs", all.PosixRepository, { path: "/mnt/nas", cipher }),
  form("SftpRepository", "SftpRepositoryArgs", all.SftpRepository, {
    host: "vault",
    user: "db",
    hostKey: HOST_KEY,
    privateKey: "key",
    path: "/srv/orders",
    cipher,
  }),
];

interface RepositoryAnswer extends Answer<{ readonly target: all.RepositoryTarget }> {
  readonly target: pulumi.Unwrap<all.RepositoryTarget> | null;
}

async function repositoryWith({ component: Repository }: Form, args: object): Promise<RepositoryAnswer> {
  const answer = await answerTo(() => new Repository("store", args as never));
  const isTaken = answer.made !== null && answer.errors.length === 0;
  return { ...answer, target: isTaken ? await valueOf(pulumi.output(answer.made.target)) : null };
}

/** What a host with the repository writes that it should have refused. */
function faultsOfHost(target: NonNullable<RepositoryAnswer["target"]>): string[] {
  const at = targetSettings(target) as TargetSettings;
  const host = plan({ repositories: { repo1: { at, keepDays: 7 } }, drills: {} });
  if (checkHost(host).some(({ severity }) => severity === "error")) return [];
  // eslint-disable-next-line no-control-regex
  return hostFilesOf(host).flatMap(({ path, text }) => (/[\u0000-\u0008]|x{3000}/.test(text) ? [path] : []));
}

describe.each(FORMS)("$name", (each) => {
  const locations = fieldsBelow({ kind: "fields", name: each.type }, [], { types: ARGUMENT_TYPES });
  const cases = locations.flatMap((keys) => STRANGE.map((strange) => ({ keys, strange })));

  async function faultOf(keys: Keys, strange: unknown, isDeferred: boolean): Promise<string[]> {
    const args = withValue(each.base, keys, isDeferred ? deferred(strange) : strange) as object;
    const what = `${keys.join(".")} = ${(strange === undefined ? "undefined" : JSON.stringify(strange)).slice(0, 40)}${isDeferred ? ", late" : ""}`;
    const { errors, shown, target } = await repositoryWith(each, args);
    const stray = errors.filter((error) => !isExplained(error));
    if (stray.length > 0) return [`${what} throws ${String((stray[0] as Error).stack ?? stray[0]).slice(0, 400)}`];
    if (errors.length > 0)
      return errors.flatMap((error) =>
        String(error).length > 1500 ? [`${what} is quoted: ${String(error).slice(0, 99)}`] : [],
      );
    const known = withValue(each.base, keys, strange);
    const wrong = checkArguments(each.type, known);
    if (wrong.length > 0) return [`${what} is taken: ${wrong[0]?.message}`];
    if (strange === undefined) return shown.includes("undefined") ? [`${what} is shown`] : [];
    const isOther = JSON.stringify(known) !== JSON.stringify(each.base);
    if (isOther && shown === plain.shown) return [`${what} is dropped`];
    return target === null ? [] : faultsOfHost(target).map((path) => `${what} is written to ${path}`);
  }

  let plain: RepositoryAnswer;
  beforeAll(async () => void (plain = await repositoryWith(each, each.base)));

  test("the base is taken", () => {
    expect(plain.errors).toEqual([]);
  });

  const chosen = drawn(cases, CASES);
  test(`a strange value is refused in words, or declared (${chosen.length} of ${cases.length})`, async () => {
    const faults: string[] = [];
    for (const { keys, strange } of chosen) faults.push(...(await faultOf(keys, strange, false)));
    expect(faults).toEqual([]);
  });

  test("so is a late one", async () => {
    const inputs = inputsOf(each.type, each.base).paths.map(({ path }): Keys => path.split("."));
    const chosenInputs = drawn(
      inputs.flatMap((keys) => [undefined, ...STRANGE].map((strange) => ({ keys, strange }))),
      CASES,
    );
    const faults: string[] = [];
    for (const { keys, strange } of chosenInputs) faults.push(...(await faultOf(keys, strange, true)));
    expect(faults).toEqual([]);
  });

  test("an unknown field beside each one is refused", () => {
    for (const keys of locations.filter((_, index) => NIGHTLY || index % 12 === 0)) {
      if (typeof keys.at(-1) !== "string") continue;
      const args = withValue(each.base, [...keys.slice(0, -1), `${keys.at(-1)}Zz`], 1);
      expect(() => new each.component("store", args as never), keys.join(".")).toThrow(/has no field '\w+Zz'/);
    }
  });
});
