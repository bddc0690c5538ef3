import { expect, test } from "vitest";
import { S3Quirks } from "../../components/repositories/target";
import { S3_QUIRKS } from "../../runtime/storage/s3/quirks";
import { analyzeComponents } from "../../tools/parts/build/packageSchema";
import { NIGHTLY } from "../../tools/parts/nightly";

const COMPONENTS = [
  "AzureRepository",
  "B2Repository",
  "BackupHold",
  "BackupNow",
  "CheckNow",
  "CipherPassphrase",
  "DatabaseClone",
  "DrillNow",
  "FireDrill",
  "GcsRepository",
  "Monitoring",
  "PosixRepository",
  "PostgresHost",
  "R2Repository",
  "RepositoryHost",
  "RepositorySecret",
  "Runbook",
  "S3CompatibleRepository",
  "S3Repository",
  "SftpRepository",
  "SharedExternalSecret",
  "StandbyHost",
];

// claim: docs/languages.md: every component can be described for other languages
test.runIf(NIGHTLY)("the SDK's analyzer can describe every component, so that other languages can use them", () => {
  const schema = analyzeComponents();
  expect(Object.keys(schema.components)).toEqual(expect.arrayContaining(COMPONENTS));
  expect(Object.keys(schema.components["PostgresHost"]?.outputs ?? {}).sort()).toEqual([
    "access",
    "destinations",
    "drilled",
    "firstBackup",
    "pendingRestart",
    "repositoryNames",
    "restoreCommand",
    "source",
    "stanza",
    "timersEnabled",
    "topology",
  ]);
  expect(schema.typeDefinitions["Engine"]?.enum?.map((entry) => entry.value).sort()).toEqual(["pgbackrest", "runtime"]);
});

test("arguments accept exactly the providers that the runtime knows", () => {
  expect(Object.values(S3Quirks).sort()).toEqual(S3_QUIRKS.map((row) => row.id).sort());
});
