/** Every verb of the command line and the file that runs it; `help` and `version` need no repository and, like `agent`, are main's. */
import type { CommandName } from "../config/types";
import { archiveGetCommand } from "./archiveGet";
import { archivePushCommand } from "./archivePush";
import { backupCommand } from "./backup";
import { checkCommand } from "./check";
import { expireCommand } from "./expire";
import { healCommand } from "./heal";
import type { Command } from "./host";
import { infoCommand } from "./info";
import { pgSettingsCommand } from "./pgSettings";
import { restoreCommand } from "./restore";
import { stanzaCreateCommand } from "./stanzaCreate";
import { verifyCommand } from "./verify";

export const COMMAND_TABLE: Readonly<Record<Exclude<CommandName, "agent" | "help" | "version">, Command>> = {
  "archive-get": archiveGetCommand,
  "archive-push": archivePushCommand,
  backup: backupCommand,
  check: checkCommand,
  expire: expireCommand,
  heal: healCommand,
  info: infoCommand,
  "pg-settings": pgSettingsCommand,
  restore: restoreCommand,
  "stanza-create": stanzaCreateCommand,
  verify: verifyCommand,
};
