/** What restores and writes no backups: hosts and their keys that only read, and copies of clusters. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan, HostPlan } from "../model/plan";
import { abstaining, eachOf } from "../findings/abstain";
import { storeOf } from "../repositories/repositoryTypes";
import { checkAmounts } from "./objectives";

/** Backup settings make no sense on a host that takes no backups. */
export function checkRestoreOnly(plan: HostPlan): Finding[] {
  const given: [name: string, isGiven: () => boolean][] = [
    ["schedules", () => plan.schedules.length > 0],
    ["dumps", () => plan.dumps !== undefined],
    ["acknowledge", () => plan.acknowledge.mode !== "all"],
    ["archiveTimeoutSeconds", () => plan.archiveTimeoutSeconds !== undefined],
    ["archive", () => plan.kind === "host" && plan.archive !== "command"],
    ["firstBackup", () => plan.firstBackup],
    ["allowRestart", () => plan.allowRestart],
  ];
  return abstaining(
    () =>
      eachOf(given, ([name, isGiven]) => {
        if (!isGiven()) return [];
        const fact = `${name} configures backups, and a host with restoreOnly takes none`;
        return [finding("PB100", name, fact, `remove ${name} or restoreOnly`)];
      }),
    () =>
      eachOf(plan.repositories, (repository) => {
        const { name, readOnly } = repository;
        if (storeOf(repository) === undefined || readOnly) return [];
        const fact = "this host only restores, but its keys can write: an intruder could overwrite and delete backups";
        const hint = "use readerTarget of the repository (credentials.create.reader: true)";
        return [finding("PB101", `repositories.${name}.at`, fact, hint)];
      }),
  );
}

export function checkWithoutBackups(plan: DatabasePlan): Finding[] {
  const hint = "set repositories and schedules, or silence this for a copy that is thrown away";
  const none = finding("PB142", "repositories", "the restored cluster archives nowhere and has no backups", hint);
  return [none, ...checkAmounts(plan)];
}

/** @param plan of a database that is backed up */
export function checkReadOnly({ repositories }: DatabasePlan): Finding[] {
  return eachOf(repositories, ({ name, readOnly }) => {
    if (!readOnly) return [];
    const hint = "use target of the repository, or set restoreOnly on a host that only restores";
    return [finding("PB099", `repositories.${name}.at`, "its keys can only read, and backups must write", hint)];
  });
}
