/** How requests to buckets are signed: keys where there must be some, roles where they exist, Secrets where Kubernetes is. Pure. */
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan, RepositoryPlan, S3Plan } from "../model/plan";
import { optionsCredential, sftpKeyCredential } from "../model/resolveDatabase";
import { isUnknown } from "../model/unknown";

/** Roles that only pods on EKS have. */
const POD_KEY_TYPES = ["web-id", "pod-id"];

/** Findings in the order of the repositories. */
export function checkCredentials(plan: DatabasePlan): Finding[] {
  const { kind, repositories } = plan;
  return repositories.flatMap((repository) => {
    const { name, s3, secretFiles } = repository;
    const files = [...checkSecretFiles(repository, "agent" in plan && plan.agent === true), ...checkSftpKey(repository, kind)];
    if (s3 === undefined) return files;
    const path = `repositories.${name}.at.s3`;
    return [...files, ...(secretFiles === undefined ? checkKeys(s3, path) : []), ...checkRole(s3, path, kind), ...checkSecret(s3, path, kind)];
  });
}

/** A file of options may name it: what is in there, nobody reads here. */
function checkSftpKey({ name, sftp, secretFiles = {} }: RepositoryPlan, kind: DatabasePlan["kind"]): Finding[] {
  if (kind !== "host" || sftp?.hasKey !== false) return [];
  if (sftpKeyCredential(name) in secretFiles || optionsCredential(name) in secretFiles) return [];
  const fact = `${sftp.user} signs in on ${sftp.host} with a private key, and none is given`;
  return [
    finding("PB104", `repositories.${name}.at.sftp.privateKey`, fact, "set privateKey, or secretFiles.privateKey where the host has it already"),
  ];
}

function checkSecretFiles({ name, s3, secretFiles, sftp, writesSecrets }: RepositoryPlan, hasAgent: boolean): Finding[] {
  if (secretFiles === undefined) return [];
  const path = `repositories.${name}.secretFiles`;
  if (!hasAgent) {
    const fact = "files on the host are handed over by systemd, to an agent and to units, and there is none here";
    return [finding("PB103", path, fact, "leave agent out on a host with systemd, or give credentials and cipher")];
  }
  const names = Object.keys(secretFiles);
  if (names.length === 0) return [finding("PB103", path, "no file is named", "name options, or accessKeyId and secretAccessKey")];
  if (s3?.hasKeys === true) return [finding("PB103", path, "credentials are given too: which of them sign is nobody's guess", "remove one of them")];
  if (writesSecrets && names.includes(`${name}-cipher-pass`)) {
    return [
      finding("PB103", `${path}.passphrase`, "the repository has a cipher too: which of them encrypts is nobody's guess", "remove one of them"),
    ];
  }
  if (sftp?.hasKey === true && names.some((each) => each.startsWith(`${name}-sftp-`))) {
    return [
      finding("PB103", `${path}.privateKey`, "the repository has a private key too: which of them signs in is nobody's guess", "remove one of them"),
    ];
  }
  const halves = ["s3-key", "s3-key-secret"].filter((part) => names.includes(`${name}-${part}`));
  if (halves.length === 1) return [finding("PB103", path, "one of accessKeyId and secretAccessKey is given: both of them sign", "name both")];
  return [];
}

function checkKeys({ keyType, hasKeys, hasExistingSecret }: S3Plan, path: string): Finding[] {
  if (keyType === "shared") {
    if (hasKeys !== false || hasExistingSecret) return [];
    const hint = "set credentials, existingSecret in Kubernetes, or keyType of a role";
    return [finding("PB063", `${path}.credentials`, 'key type "shared" signs with an access key, and none is given', hint)];
  }
  if (hasKeys !== true && !hasExistingSecret) return [];
  const field = hasKeys === true ? "credentials" : "existingSecret";
  const fact = `key type "${keyType}" signs with a role, and keys are given too: which of them signs is nobody's guess`;
  return [finding("PB064", `${path}.${field}`, fact, `remove ${field}, or leave keyType out`)];
}

function checkRole({ endpoint, keyType, quirks }: S3Plan, path: string, kind: DatabasePlan["kind"]): Finding[] {
  if (kind === "host" && POD_KEY_TYPES.includes(keyType)) {
    const fact = `key type "${keyType}" is the role of a pod in EKS, and a host has none`;
    return [finding("PB065", `${path}.keyType`, fact, 'set keyType: "auto" for the role of an EC2 instance, or credentials')];
  }
  if (keyType === "shared" || isUnknown(endpoint)) return [];
  const row = findQuirks(quirks ?? "auto", endpoint);
  if (row === null || row.id === "aws") return [];
  const fact = `key type "${keyType}" takes its keys from Amazon, and ${endpoint} is ${row.title}: it does not know them`;
  return [finding("PB066", `${path}.keyType`, fact, "leave keyType out and set credentials")];
}

function checkSecret({ hasKeys, hasExistingSecret }: S3Plan, path: string, kind: DatabasePlan["kind"]): Finding[] {
  if (!hasExistingSecret) return [];
  const found: Finding[] = [];
  if (kind === "host") {
    const fact = "a Secret of Kubernetes cannot be read on a host";
    found.push(finding("PB067", `${path}.existingSecret`, fact, "set credentials: they are written to a file that only PostgreSQL's account reads"));
  }
  if (hasKeys === true) {
    found.push(finding("PB068", `${path}.existingSecret`, "credentials and existingSecret are both given", "remove one of them"));
  }
  return found;
}
