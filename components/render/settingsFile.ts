/** `pgbackstop.json` of a host: what pgBackRest has no option for. No secret. */
import { renderSettings, type SettingsFile, type SettingsFileRepo } from "../../runtime/config/settings";
import type { CompressType } from "../../runtime/config/types";
import { findCompressType } from "../plan/defaults";
import { expectFullWithin } from "../plan/expectFull";
import type { HostPlan, RepositoryPlan } from "../plan/plan";

/** What the file says, wherever PostgreSQL runs. */
type SettingsPlan = Pick<HostPlan, "acknowledge" | "repositories" | "schedules" | "firstBackup"> & {
  /** True where nobody else takes the first backup: in a cluster. */
  readonly sidecarTakesFirst?: boolean;
};

/** The whole text. */
export function renderSettingsFile(plan: SettingsPlan): string {
  return renderSettings(settingsOf(plan));
}

/** The same as structure; every repository says its compression, so that adding one does not change what the others get. */
export function settingsOf(plan: SettingsPlan): SettingsFile {
  const { mode, repositories } = plan.acknowledge;
  return {
    version: 1,
    acknowledge: mode === "named" ? repositories : mode === "any" ? "any" : "all",
    ...(plan.sidecarTakesFirst === true ? { firstBackup: true } : {}),
    repos: Object.fromEntries(plan.repositories.map((repository) => [repository.name, repositorySettings(plan, repository)])),
  };
}

function repositorySettings(plan: SettingsPlan, repository: RepositoryPlan): SettingsFileRepo & { readonly compressType: CompressType } {
  const quirks = repository.s3?.quirks;
  const compressType = findCompressType(repository.compressType);
  const expectFullWithinS = expectFullWithin(plan, repository);
  if (compressType === null) throw new Error(`compression ${repository.compressType} cannot be written`);
  return {
    compressType,
    ...(compressType === "none" ? {} : { compressLevel: repository.compressLevel }),
    ...(quirks === undefined ? {} : { s3Quirks: quirks }),
    ...(expectFullWithinS === undefined ? {} : { expectFullWithinS }),
  };
}
