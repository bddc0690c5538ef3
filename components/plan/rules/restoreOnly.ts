/** Hosts that restore and write nothing, and keys that only read: each needs the other. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan, HostPlan } from "../model/plan";

/** What is about backups has no place on a host that takes none. */
export function checkRestoreOnly(plan: HostPlan): Finding[] {
  const { acknowledge, allowRestart, archiveTimeoutSeconds, firstBackup, schedules } = plan;
  const given = Object.entries({
    schedules: schedules.length > 0,
    acknowledge: acknowledge.mode !== "all",
    archiveTimeoutSeconds: archiveTimeoutSeconds !== undefined,
    firstBackup,
    allowRestart,
  });
  const wrong = given
    .filter(([, isGiven]) => isGiven)
    .map(([name]) => {
      const fact = `${name} is about backups, and a host with restoreOnly takes none`;
      return finding("PB100", name, fact, `remove ${name} or restoreOnly`);
    });
  const writing = plan.repositories.filter(({ kind, readOnly }) => kind === "s3" && !readOnly);
  return [
    ...wrong,
    ...writing.map(({ name }) => {
      const fact = "this host only restores, and its keys can write: whoever takes it can overwrite and delete backups";
      const hint = "give it readerTarget of the repository (credentials.create.reader: true)";
      return finding("PB101", `repositories.${name}.at`, fact, hint);
    }),
  ];
}

/** @param plan of a database that is backed up */
export function checkReadOnly({ repositories }: DatabasePlan): Finding[] {
  return repositories
    .filter(({ readOnly }) => readOnly)
    .map(({ name }) => {
      const hint = "use target of the repository, or set restoreOnly on a host that only restores";
      return finding("PB099", `repositories.${name}.at`, "its keys only read, and backups have to be written", hint);
    });
}
