#!/usr/bin/env node
/**
 * The package's one command, `pgbackstop`. It answers `topology`, `render`, `alerts`, `dashboard` and `explain` here.
 * It passes pgBackRest's verbs to the package's runtime in this same process, so that arguments, streams, signals and
 * exit codes are the runtime's own. Each side loads only its own parts.
 */
import { intendedCommand, OWN_COMMANDS } from "./command";
import { runtimeBundlePath } from "../internal/runtimeBundle";

/** The runtime's exit code for one that does not exist. */
const INVALID_COMMAND = 48;
const meant = intendedCommand(process.argv[2] ?? "");
const isGeneralHelp =
  process.argv.length < 3 || (process.argv.length === 3 && /^(--)?help$/.test(process.argv[2] ?? ""));

if (process.argv[2] === "topology") {
  const { topologyMain } = require("./topology") as typeof import("./topology");
  void Promise.resolve(topologyMain(process.argv.slice(3))).then((code) => (process.exitCode = code));
} else if (process.argv[2] === "render") {
  const { renderMain } = require("./render") as typeof import("./render");
  process.exitCode = renderMain(process.argv.slice(3));
} else if (process.argv[2] === "alerts" || process.argv[2] === "dashboard") {
  const { monitoringMain } = require("./monitoring") as typeof import("./monitoring");
  process.exitCode = monitoringMain(process.argv[2], process.argv.slice(3));
} else if (process.argv[2] === "explain") {
  const { explainMain } = require("./explain") as typeof import("./explain");
  process.exitCode = explainMain(process.argv.slice(3));
} else if (meant !== undefined) {
  process.stderr.write(`pgbackstop: invalid command '${process.argv[2]}': did you mean ${meant}?\n`);
  process.exitCode = INVALID_COMMAND;
} else {
  if (isGeneralHelp) process.stdout.write(`Of a Pulumi program: pgbackstop ${OWN_COMMANDS.join("|")} --help\n\n`);
  // Replaces this file, so that worker threads and restore_command name the bundle itself, which refuses old Node
  // versions.
  process.argv[1] = runtimeBundlePath();
  require(process.argv[1]);
}
