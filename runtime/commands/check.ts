/** `check`: every repository answers for itself; exit 0 when those that are well satisfy the acknowledgement policy. */
import { check } from "../operations/check";
import { policyError, repoErrorLine } from "../operations/results";
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
    },
    ctx,
  );
  for (const result of results) {
    if (result.ok) ctx.log.info(`repo${result.repoKey}: configuration and archive are valid`);
    else ctx.log.warn(repoErrorLine(result.repoKey, result.error));
  }
  const error = policyError("check", results, config.settings.acknowledge);
  if (error !== null) throw error;
  return 0;
};
