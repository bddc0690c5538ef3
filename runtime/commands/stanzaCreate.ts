/** `stanza-create`: in every repository; running it again is harmless. */
import { combinedError } from "../operations/results";
import { stanzaCreate } from "../operations/stanzaCreate";
import type { Command } from "./host";

export const stanzaCreateCommand: Command = async (host) => {
  host.requireStarted();
  const repos = host.repositories();
  host.lock(
    "archive",
    repos.map((repo) => repo.key),
  );
  host.lock(
    "backup",
    repos.map((repo) => repo.key),
  );
  const error = combinedError("stanza-create", await stanzaCreate(repos, await host.loadControl(), host.ctx));
  if (error !== null) throw error;
  return 0;
};
