/**
 * `check`: every repository answers for itself; exit 0 when those that are well satisfy the acknowledgement policy. A repository without a
 * full backup as young as the settings file expects fails it whatever the policy is: WAL alone restores nothing.
 */
import type { RepoResult } from "../base/parallel";
import { check, type Checked } from "../operations/check";
import { fullText } from "../operations/destinations";
import { combinedError, policyError, repoErrorLine } from "../operations/results";
import type { Command } from "./host";

export const checkCommand: Command = async (host) => {
  const { config, ctx } = host;
  host.requireStarted();
  const debt = host.debt();
  const results = await check(
    host.repositories(),
    await host.session(),
    await host.loadControl(),
    {
      dataDirectory: host.dataDirectory,
      archiveCheck: config.archiveCheck,
      archiveTimeoutMs: config.archiveTimeoutMs,
      archiveCommandWord: config.settings.archiveCommandWord,
      dropped: (repoKey) => debt.listDropped(repoKey),
      expectFull: (repoKey) => (config.fullCheck ? config.settings.repos[repoKey]?.expectFullWithinS : undefined),
    },
    ctx,
  );
  for (const result of results) {
    if (!result.ok) {
      ctx.log.warn(repoErrorLine(result.repoKey, result.error));
      continue;
    }
    ctx.log.info(`repo${result.repoKey}: configuration and archive are valid`);
    ctx.log.info(`repo${result.repoKey}: ${fullText(result.value.newestFull)}`);
    if (result.value.fullError !== null) ctx.log.warn(repoErrorLine(result.repoKey, result.value.fullError));
  }
  const error = policyError("check", results, config.settings.acknowledge) ?? combinedError("check", withFullErrors(results));
  if (error !== null) throw error;
  return 0;
};

/** What is wrong about full backups, apart from what is wrong otherwise: no policy excuses it. */
function withFullErrors(results: readonly RepoResult<Checked>[]): RepoResult<Checked>[] {
  return results.flatMap((result): RepoResult<Checked>[] => {
    if (!result.ok) return [];
    const { fullError } = result.value;
    return [fullError === null ? result : { repoKey: result.repoKey, ok: false, error: fullError }];
  });
}
