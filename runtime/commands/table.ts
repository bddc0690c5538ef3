/** Every verb of the command line and the file that runs it; `help` and `version` need no repository and, like those that serve, are main's. */
import type { CommandName } from "../config/types";
import { annotateCommand } from "./annotate";
import { archiveGetCommand } from "./archiveGet";
import { archivePushCommand } from "./archivePush";
import { backupCommand } from "./backup";
import { checkCommand } from "./check";
import { doctorCommand } from "./doctor";
import { drillCommand } from "./drill";
import { expireCommand } from "./expire";
import { extractTableCommand } from "./extractTable";
import { findCommand } from "./find";
import { healCommand } from "./heal";
import type { Command } from "./host";
import { infoCommand } from "./info";
import { manifestCommand } from "./manifest";
import { metricsCommand } from "./metrics";
import { notifyCommand } from "./notify";
import { pgSettingsCommand } from "./pgSettings";
import { repoGetCommand, repoLsCommand } from "./repoFiles";
import { restoreCommand } from "./restore";
import { statusCommand } from "./status";
import { stanzaCreateCommand } from "./stanzaCreate";
import { stanzaDeleteCommand } from "./stanzaDelete";
import { stanzaUpgradeCommand } from "./stanzaUpgrade";
import { startCommand, stopCommand } from "./startStop";
import { syncCommand } from "./sync";
import { verifyCommand } from "./verify";

export const COMMAND_TABLE: Readonly<
  Record<
    Exclude<
      CommandName,
      | "agent"
      | "cnpg-drill"
      | "cnpg-expire"
      | "cnpg-instance"
      | "cnpg-migrate"
      | "cnpg-operator"
      | "cnpg-restore"
      | "help"
      | "migrate"
      | "recover"
      | "recover-step"
      | "rollback"
      | "version"
    >,
    Command
  >
> = {
  annotate: annotateCommand,
  "archive-get": archiveGetCommand,
  "archive-push": archivePushCommand,
  backup: backupCommand,
  check: checkCommand,
  doctor: doctorCommand,
  drill: drillCommand,
  expire: expireCommand,
  "extract-table": extractTableCommand,
  find: findCommand,
  heal: healCommand,
  info: infoCommand,
  manifest: manifestCommand,
  metrics: metricsCommand,
  notify: notifyCommand,
  "pg-settings": pgSettingsCommand,
  "repo-get": repoGetCommand,
  "repo-ls": repoLsCommand,
  restore: restoreCommand,
  "stanza-create": stanzaCreateCommand,
  "stanza-delete": stanzaDeleteCommand,
  "stanza-upgrade": stanzaUpgradeCommand,
  start: startCommand,
  status: statusCommand,
  stop: stopCommand,
  sync: syncCommand,
  verify: verifyCommand,
};
