/**
 * Keys and passphrases: each must be given once, where it can be used. What a type of repository needs is in its row.
 * Pure.
 */
import { findLineFault } from "../../../runtime/config/render";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import { abstaining, eachOf } from "../findings/abstain";
import { type RepositoryPlan, typeOf } from "../repositories/repositoryTypes";

export function checkCredentials(plan: DatabasePlan): Finding[] {
  return eachOf(plan.repositories, (repository) =>
    abstaining(
      () => checkSecretFiles(repository, plan),
      () => typeOf(repository).checkKeys(repository, `repositories.${repository.name}`, plan.kind),
    ),
  );
}

function checkSecretFiles(repository: RepositoryPlan, plan: DatabasePlan): Finding[] {
  const { name, secretFiles } = repository;
  if (secretFiles === undefined) return [];
  const path = `repositories.${name}.secretFiles`;
  if (!("agent" in plan && plan.agent === true)) {
    const fact = "systemd passes files on the host to an agent or to units, and this host has neither";
    return [finding("PB103", path, fact, "leave agent out on a host with systemd, or give credentials and cipher")];
  }
  const options = Object.keys(secretFiles).map((credential) => credential.slice(`${name}-`.length));
  if (options.length === 0)
    return [finding("PB103", path, "it names no file", "name options, or accessKeyId and secretAccessKey")];
  const findings = typeOf(repository).checkSecretFiles(repository, path, options);
  if (findings.length > 0) return findings;
  if (options.includes("cipher-pass") && repository.writesSecrets) {
    const fact = "the repository has a cipher too: it is unclear which of them encrypts";
    return [finding("PB103", `${path}.passphrase`, fact, "remove one of them")];
  }
  const halves = ["s3-key", "s3-key-secret"].filter((option) => options.includes(option));
  if (halves.length !== 1) return [];
  const fact = "only one of accessKeyId and secretAccessKey is given: signing needs both";
  return [finding("PB103", path, fact, "give both")];
}

/**
 * A passphrase is in no plan, so what passes it on checks it. The finding does not quote it.
 * @param path of the argument
 */
export function checkPassphrase(path: string, passphrase: string): Finding[] {
  const fault = findLineFault(passphrase);
  if (fault === null) return [];
  const hint = "give it in one line without blanks around it, or generate one with CipherPassphrase";
  return [finding("PB105", path, `the passphrase ${fault}`, hint)];
}
