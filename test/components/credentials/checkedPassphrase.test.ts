/**
 * An unusable passphrase is one error of the package, in the same words, for hosts, clusters, attachments and restores.
 */
import * as pulumi from "@pulumi/pulumi";
import { expect, test, vi } from "vitest";
import { CipherPassphrase } from "../../../components/credentials/cipherPassphrase";
import { CnpgBackup } from "../../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../../components/databases/cnpgRestore";
import { PostgresHost } from "../../../components/databases/postgresHost";
import { checkPassphrase } from "../../../components/plan/rules/passphrase";
import type { RepositoryTarget } from "../../../components/repositories/target";
import { findLineFault, renderConf } from "../../../runtime/config/render";
import { fc } from "../../harness/properties";

vi.mock("../../../components/internal/runtimeBundle", () => ({
  runtimeBundleSha256: () => "0".repeat(64),
  runtimeBundleBrotli: () => "YnI=",
  runtimeBundleGzip: () => "gzip",
  loadArchiveClient: () => "client",
}));

const S3 = {
  bucket: "orders-pg",
  endpoint: "s3.example.net",
  region: "eu",
  credentials: { accessKeyId: "id", secretAccessKey: "key" },
};
const COMMON = {
  schedules: { full: { cron: "0 3 * * 0" } },
  silence: { PB003: "a test", PB042: "a test" },
};

function targetOf(passphrase: pulumi.Input<string>): RepositoryTarget {
  return { name: "bucket", path: "/orders", s3: S3, cipher: { passphrase } };
}

const DATABASES: readonly (readonly [name: string, make: (at: pulumi.Input<RepositoryTarget>) => void])[] = [
  [
    "PostgresHost",
    (at) =>
      new PostgresHost("db", {
        ...COMMON,
        connection: { local: {} },
        dataDirectory: "/var/lib/postgresql/18/main",
        repositories: { repo1: { at, keepDays: 7 } },
      }),
  ],
  [
    "CnpgCluster",
    (at) =>
      new CnpgCluster("db", { ...COMMON, namespace: "n", storageGiB: 1, repositories: { repo1: { at, keepDays: 7 } } }),
  ],
  [
    "CnpgBackup",
    (at) =>
      new CnpgBackup("db", {
        ...COMMON,
        namespace: "n",
        clusterName: "db",
        repositories: { repo1: { at, keepDays: 7 } },
      }),
  ],
  [
    "CnpgRestore",
    (at) => {
      const source = { stanza: "old", repositories: { repo1: { at } } };
      new CnpgRestore("db", {
        namespace: "n",
        storageGiB: 1,
        postgresVersion: 18,
        source,
        silence: { PB142: "a test" },
      });
    },
  ],
];

/** Messages of what a program throws, at once or while its outputs resolve. */
async function errorsOf(make: () => void): Promise<string[]> {
  const errors: unknown[] = [];
  const onLeft = (error: unknown): void => void errors.push(error);
  process.on("unhandledRejection", onLeft);
  await pulumi.runtime.setMocks({ call: () => ({}), newResource: ({ name }) => ({ id: name, state: { status: {} } }) });
  try {
    make();
  } catch (error) {
    errors.push(error);
  }
  await pulumi.runtime.disconnect().catch(onLeft);
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", onLeft);
  for (const error of errors) expect(error).toSatisfy(pulumi.InputPropertiesError.isInstance);
  return [...new Set(errors.map((error) => (error as Error).message))];
}

const WRONG: readonly (readonly [passphrase: string, fault: string])[] = [
  ["", "is empty"],
  ["marker\n", "has a line break"],
  [" marker", "has a blank at its beginning or end"],
];

test.each(DATABASES)("%s refuses an unusable passphrase, at once or when it comes", async (name, make) => {
  for (const [passphrase, fault] of WRONG) {
    const plain = await errorsOf(() => make(targetOf(passphrase)));
    const deferred = await errorsOf(() => make(targetOf(pulumi.secret(passphrase))));
    const whole = await errorsOf(() => make(pulumi.secret(targetOf(passphrase))));
    for (const errors of [plain, deferred, whole]) {
      expect(errors).toHaveLength(1);
      expect(errors[0]).toContain(`repo1.at.cipher.passphrase: the passphrase ${fault};`);
      expect(errors[0]).not.toContain("marker");
    }
    expect(plain[0]).toContain(name === "CnpgRestore" ? "CnpgCluster" : name);
  }
  expect(await errorsOf(() => make(targetOf("inner blank and # are fine")))).toEqual([]);
});

test("an existing passphrase is refused in the same words", async () => {
  const errors = await errorsOf(() => new CipherPassphrase("key", { existing: pulumi.secret("marker\n") }));
  expect(errors.join("\n")).toMatch(/CipherPassphrase key: .*\n {2}PB105 existing: the passphrase has a line break;/);
});

test("a passphrase without a finding can be written into a configuration, and no other one", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(" ", "\t", "\n", "\0", "a") })), (value) => {
      const render = (): string => renderConf([{ name: "global", options: [{ name: "repo1-cipher-pass", value }] }]);
      const findings = checkPassphrase("cipher", value).map(({ code, path }) => `${code} ${path}`);
      expect(["", "PB105 cipher"]).toContain(findings.join());
      if (findings.length === 0) expect(render()).toContain(value);
      else {
        expect(render).toThrow();
        expect(findLineFault(value)).not.toBeNull();
      }
    }),
  );
});
