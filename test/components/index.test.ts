import { join } from "node:path";

import { Analyzer } from "@pulumi/pulumi/provider/experimental/analyzer";
import { expect, test } from "vitest";
import { S3Quirks } from "../../components/repositories/target";
import { S3_QUIRKS } from "../../runtime/storage/s3/quirks";
import { projectFolder } from "../../tools/parts/cache";

const COMPONENTS = [
  "B2Repository",
  "BackupNow",
  "CipherPassphrase",
  "PosixRepository",
  "PostgresHost",
  "R2Repository",
  "RepositorySecret",
  "S3CompatibleRepository",
  "S3Repository",
  "SftpRepository",
  "SharedExternalSecret",
];

test("the SDK's analyzer can describe every component, so that other languages can use them", () => {
  const folder = join(projectFolder(), "components");
  const schema = new Analyzer(folder, "pgbackstop", { name: "pgbackstop", main: "index.ts" }, new Set(COMPONENTS)).analyze();
  expect(Object.keys(schema.components).sort()).toEqual(COMPONENTS);
  expect(Object.keys(schema.components["PostgresHost"]?.outputs ?? {}).sort()).toEqual([
    "access",
    "destinations",
    "firstBackup",
    "pendingRestart",
    "repositoryNames",
    "restoreCommand",
    "stanza",
    "timersEnabled",
    "topology",
  ]);
  expect(schema.typeDefinitions["Engine"]?.enum?.map((entry) => entry.value).sort()).toEqual(["pgbackrest", "runtime"]);
});

test("the providers that can be named are those that the runtime knows", () => {
  expect(Object.values(S3Quirks).sort()).toEqual(S3_QUIRKS.map((row) => row.id).sort());
});
