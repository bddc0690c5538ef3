/** Options of pgBackRest that users pass on: what is refused and why, and that no argument's option slips through. */
import { describe, expect, test } from "vitest";
import { checkClusterPlan } from "../../../components/plan/cluster/planCluster";
import { commandOf, nameOf } from "../../../components/plan/model/confOptions";
import type { HostSettings } from "../../../components/plan/model/databaseSettings";
import { unknownMarker } from "../../../components/plan/model/unknown";
import { checkCluster, checkHost } from "../../../components/plan/rules";
import { confSections } from "../../../components/render/host/pgbackrestConf";
import { context, objectOf, resolved } from "../clusters";
import { renderEngine } from "../../../components/render/engines/engineTable";
import { BUCKET, clusterPlan, NAS, plan } from "../plans";

function ofDatabase(options: HostSettings["options"], over: Partial<HostSettings> = {}): string[] {
  return checkHost(plan({ ...over, options })).map(
    ({ code, hint, message, path }) => `${code} ${path}: ${message}; ${hint}`,
  );
}

function ofRepository(options: HostSettings["options"]): string[] {
  const given = options ?? {};
  return ofDatabase({}, { repositories: { repo1: NAS, repo2: { ...BUCKET, options: given } } });
}

describe("options of a database", () => {
  test.each([
    ["a level of the log", { "log-level-file": "detail" }],
    ["a time", { "protocol-timeout": "3700" }],
    ["a size", { "archive-push-batch-size": "64MiB" }],
    ["a switch", { delta: "y" }],
    ["an option of one command", { "backup:process-max": "4" }],
    ["a priority of another command", { "restore:priority": "5" }],
    ["a list, one value on each line", { exclude: "base/1\nbase/2" }],
    ["an option of the server", { "pg1-database": "admin" }],
    ["a value that is not known yet", { "protocol-timeout": unknownMarker(0) }],
  ])("%s is passed on", (_what, options) => {
    expect(ofDatabase(options)).toEqual([]);
  });

  test.each([
    [
      "an unknown name",
      { "log-levle-file": "detail" },
      "pgBackRest has no option log-levle-file; did you mean log-level-file?",
    ],
    [
      "a bad value",
      { "process-max": "many", "backup:process-max": "many" },
      "'many' is not valid for 'process-max' option",
    ],
    ["a value out of range", { "backup:process-max": "0" }, "'0' is out of range for 'process-max' option"],
    ["a value that is no switch", { delta: "yes" }, `'y' or 'n'; write "y" or "n"`],
    [
      "an option of a repository",
      { "repo1-retention-archive": "2" },
      'write repositories.repoN.options: { "retention-archive": … }',
    ],
    ["what an argument decides", { "process-max": "4" }, "process-max is decided by processMax; set processMax"],
    ["a priority of all commands", { priority: "5" }, "priority is decided by backupPriority"],
    ["a priority of backups", { "backup:priority": "5" }, "priority is decided by backupPriority"],
    ["what an argument decides for one command", { "backup:compress-type": "gz" }, "compress of each repository"],
    ["a path of the server", { "pg1-path": "/data" }, "pg1-path is decided by dataDirectory"],
    ["what the package sets itself", { "start-fast": "n" }, "this package sets start-fast itself"],
    ["an option of a command line", { stanza: "other" }, "stanza is an option of a command line"],
    ["a command that does not take it", { "expire:delta": "y" }, "expire does not take delta"],
    ["a negated name", { "no-delta": "y" }, 'no-delta is another form of delta; write "delta"'],
    ["an old name", { "archive-max-mb": "1" }, "archive-max-mb"],
  ])("%s is refused", (_what, options, expected) => {
    const findings = ofDatabase(options);
    expect(findings[0]).toMatch(/^PB170 options\./);
    expect(findings.join("\n")).toContain(expected);
  });

  test("a limit of waiting WAL is passed on, with a warning that WAL is dropped", () => {
    const limits = { "archive-push-queue-max": "64GiB", "archive-push:archive-push-queue-max": "1GiB" };
    const [all, one] = ofDatabase(limits);
    expect(all).toMatch(
      /^PB079 options\.archive-push-queue-max: beyond 64GiB, WAL that no repository accepts is dropped/,
    );
    expect(one).toMatch(/^PB079 options\.archive-push:archive-push-queue-max: beyond 1GiB/);
    const stock = ofDatabase(limits, { engine: "pgbackrest", agent: false, schedules: {} });
    expect(stock.join("\n")).toContain("beyond 64GiB, WAL for all repositories, even if only one is down, is dropped");
  });

  test.each<[string, string[]]>([
    ["archive-push:process-max", ["PB171 options.archive-push:process-max"]],
    ["archive-get:archive-get-queue-max", ["PB171 options.archive-get:archive-get-queue-max"]],
    ["agent:process-max", []],
    ["backup:process-max", []],
  ])("%s with an agent", (key, codes) => {
    const value = key.endsWith("-queue-max") ? "1GiB" : "8";
    const codesOf = (findings: readonly string[]): string[] => findings.map((text) => text.replace(/: .*/s, ""));
    expect(codesOf(ofDatabase({ [key]: value }))).toEqual(codes);
    expect(codesOf(ofDatabase({ [key]: value }, { engine: "pgbackrest", agent: false, schedules: {} }))).not.toEqual(
      expect.arrayContaining([expect.stringContaining("PB171")]),
    );
  });

  test("what only stock reads is a warning with the runtime, and works with stock", () => {
    expect(ofDatabase({ "tcp-keep-alive-count": "3" }).map((text) => text.split(":")[0])).toEqual([
      "PB171 options.tcp-keep-alive-count",
    ]);
    const stock = { engine: "pgbackrest", agent: false, schedules: {} };
    expect(ofDatabase({ "tcp-keep-alive-count": "3" }, stock).filter((text) => text.includes("options"))).toEqual([]);
  });
});

describe("options of a repository", () => {
  test.each([
    ["a retention of WAL", { "retention-archive": "2" }],
    ["a switch of its store", { "storage-verify-tls": "y" }],
  ])("%s is passed on", (_what, options) => {
    expect(ofRepository(options)).toEqual([]);
  });

  test("an unchecked certificate is passed on, with a warning", () => {
    expect(ofRepository({ "storage-verify-tls": "n" })).toEqual([
      "PB088 repositories.repo2.options.storage-verify-tls: nothing checks the certificate: anyone between can read and change the backups; leave it out; caFile of the repository component names an authority of your own",
    ]);
  });

  test.each([
    ["an unknown name", { "retention-archiv": "2" }, "did you mean repo2-retention-archive"],
    ["a name with its number", { "repo2-retention-archive": "2" }, 'write "retention-archive"'],
    ["an option of the database", { "process-max": "4" }, 'write options: { "process-max": … } beside repositories'],
    ["an option of one command", { "backup:retention-archive": "4" }, 'write "retention-archive"'],
    ["what an argument decides", { "retention-full": "2" }, "retention-full is decided by keepFullCount or keepDays"],
    ["its address", { "s3-bucket": "other" }, "bucket of the repository component"],
    ["an option of another type", { "sftp-public-key-file": "/key" }, "for repositories of type sftp"],
    ["a bad value", { "retention-archive": "-1" }, "is out of range"],
    ["what the runtime refuses", { "s3-kms-key-id": "key" }, "the runtime does not support s3-kms-key-id"],
  ])("%s is refused", (_what, options, expected) => {
    const findings = ofRepository(options);
    expect(findings[0]).toMatch(/^PB170 repositories\.repo2\.options\./);
    expect(findings.join("\n")).toContain(expected);
  });

  test.each(["cipher-pass", "s3-key", "s3-key-secret", "s3-token", "sftp-private-key-passphrase"])(
    "the secret %s is refused, and its value is not shown",
    (name) => {
      const findings = ofRepository({ [name]: "marker-of-a-secret" });
      expect(findings.join("\n")).toContain("PB170");
      expect(findings.join("\n")).not.toContain("marker");
    },
  );
});

test("every option that the components write is refused as an option of users", () => {
  const sftp = { host: "vault", user: "db", hostFingerprint: "0".repeat(64), hasKey: true };
  const vault = { at: { name: "vault", path: "/p", encrypted: true, offSite: true, sftp }, keepFullCount: 4 };
  const s3 = { ...BUCKET.at.s3, caFile: "/ca.crt", keyType: "auto" as const };
  const bucket = { ...BUCKET, at: { ...BUCKET.at, s3: s3 as never }, keepDiffCount: 2, blockIncremental: true };
  const full = { socketDirectory: "/run/postgresql", databaseUser: "admin" };
  const host = plan({ ...full, repositories: { repo1: { ...NAS, keepDiffCount: 1 }, repo2: bucket, repo3: vault } });
  for (const { name: section, options } of confSections(host)) {
    for (const { name } of options) {
      const repository = /^(repo\d)-(.+)$/.exec(name);
      const command = section.startsWith("global:") ? `${section.slice("global:".length)}:` : "";
      const given =
        repository === null
          ? { ...host, options: { [`${command}${name}`]: "1" } }
          : {
              ...host,
              repositories: host.repositories.map((each) =>
                each.name === repository[1] ? { ...each, options: { [repository[2] ?? ""]: "1" } } : each,
              ),
            };
      const findings = checkHost(given).filter(
        ({ code, message }) => code === "PB170" && /decided by|sets/.test(message),
      );
      expect([section, name, findings.length]).toEqual([section, name, 1]);
    }
  }
});

test("an option is in the section of its command, its server or its repository", () => {
  const repositories = { repo1: { ...NAS, options: { "retention-archive": "2" } } };
  const options = {
    "log-level-file": "detail",
    "backup:process-max": "4",
    "restore:link-all": "y",
    "pg1-database": "a",
  };
  const sections = confSections(plan({ repositories, options }));
  const linesOf = (section: string): string[] =>
    sections
      .filter(({ name }) => name === section)
      .flatMap((each) => each.options.map(({ name, value }) => `${name}=${String(value)}`));
  expect(sections.map(({ name }) => name)).toEqual(["global", "global:restore", "global:backup", "main"]);
  expect(linesOf("global")).toEqual(expect.arrayContaining(["repo1-retention-archive=2", "log-level-file=detail"]));
  expect(linesOf("global:backup")).toEqual(["process-max=4"]);
  expect(linesOf("global:restore")).toContain("link-all=y");
  expect(linesOf("main")).toContain("pg1-database=a");
});

describe("options of a cluster", () => {
  const repositories = { repo1: { ...BUCKET, options: { "retention-archive": "2" } } };
  const options = { "log-level-stderr": "warn" };

  test("engine runtime has them in its ConfigMap", () => {
    const { objects } = renderEngine(context({ repositories, options: { ...options, "backup:process-max": "2" } }));
    const conf = (objectOf(objects, "config")["data"] as Record<string, string>)["pgbackrest.conf"];
    expect(conf).toContain("log-level-stderr=warn\n");
    expect(conf).toContain("repo1-retention-archive=2\n");
    expect(conf).toContain("[global:backup]\nprocess-max=2\n");
  });

  test("Dalibo's plugin has them as variables", () => {
    const { objects } = renderEngine(context({ engine: "pgbackrest", repositories, options }));
    expect(JSON.stringify(objectOf(objects, "stanza"))).toContain('"PGBACKREST_REPO1_RETENTION_ARCHIVE":"2"');
    expect(JSON.stringify(objectOf(objects, "stanza"))).toContain('"PGBACKREST_LOG_LEVEL_STDERR":"warn"');
    const given = clusterPlan({ engine: "pgbackrest", options: { "backup:process-max": "2" } });
    expect(checkCluster(given).map(({ code, path }) => `${code} ${path}`)).toContain(
      "PB170 options.backup:process-max",
    );
  });

  test("the old kind of Dalibo's object has no field for them", () => {
    const given = resolved({ engine: "pgbackrest", stanzaKind: "Repository", options });
    const codes = checkClusterPlan(given, false).map(({ code, path }) => `${code} ${path}`);
    expect(codes).toContain("PB170 options");
  });

  test("an engine without pgBackRest refuses them", () => {
    const given = clusterPlan({ engine: "barman-cloud", repositories, options });
    const paths = checkCluster(given).flatMap(({ code, path }) => (code === "PB170" ? [path] : []));
    expect(paths).toEqual(["options.log-level-stderr", "repositories.repo1.options.retention-archive"]);
  });
});

test("a key names an option, and perhaps a command", () => {
  expect([commandOf("delta"), nameOf("delta")]).toEqual([null, "delta"]);
  expect([commandOf("backup:delta"), nameOf("backup:delta")]).toEqual(["backup", "delta"]);
});
