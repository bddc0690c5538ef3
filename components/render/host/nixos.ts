/**
 * A host's plan as a NixOS module, for systems where only NixOS writes below /etc and configures systemd. It has the
 * same files, units, directories and settings as an update over SSH, from the same lists. No secret: units get theirs
 * from paths that sops-nix, agenix or others fill. Pure.
 *
 * Options: NixOS 24.11 and later, `environment.etc`, `systemd.units`, `systemd.tmpfiles.rules`,
 * `services.postgresql.settings`.
 */
import { createHash } from "node:crypto";
import { VERSION } from "../../../runtime/version";
import { engineOf } from "../../plan/engines/engines";
import { drillPath, ownDrills } from "../../plan/schedule/declaredDrills";
import { type Finding, finding } from "../../plan/findings/findings";
import type { HostPlan } from "../../plan/model/plan";
import { credentialLines, hostCredentials, NOTIFY_CREDENTIAL, unitCommand } from "./systemdCredentials";
import { OTLP_FILE, type RenderedFile, REPORT_PASSWORD } from "./renderedFile";
import { hostParts } from "./hostParts";
import { hostPaths, ownDirectories, secretsDirectory as secretsPath } from "../../plan/host/hostCommand";
import { hardening } from "../units/hardening";
import { madeUnit, type Unit, UNIT_HEAD, unitName, unitText } from "../units/unit";

export interface NixosOptions {
  /** Directory of the secrets on the host, by their LoadCredential= names. */
  readonly secretsDirectory: string;
  /** True adds Node.js to the system's packages. */
  readonly installNode: boolean;
}

/** Default directories on NixOS: below /etc, which its own generations write. */
export const NIXOS_DIRECTORIES = {
  config: "/etc/pgbackstop",
  lib: "/etc/pgbackstop/lib",
  bin: "/etc/pgbackstop/bin",
} as const;
export const NIXOS_NODE_PATH = "/run/current-system/sw/bin/node";
export const NIXOS_SECRETS = "/run/secrets/pgbackstop";

const ETC = "/etc/";

/** Settings that NixOS does not support: files that its generations do not write. */
export function checkNixos(plan: HostPlan): Finding[] {
  if (!engineOf(plan.engine).own) {
    const hint = 'use engine "runtime", or services.pgbackrest of NixOS with one backup job for each repository';
    return [finding("PB010", "engine", `engine "${plan.engine}" is not rendered for NixOS`, hint)];
  }
  return filePaths(plan)
    .filter((path) => !path.startsWith(ETC))
    .map((path) => {
      const fact = `${path} is not below /etc, and a NixOS module writes only there`;
      const hint = `set directories.config, directories.lib and directories.bin below /etc, or leave them out`;
      return finding("PB014", "directories", fact, hint);
    });
}

/** The text of the module. @throws Error for a plan that rules refuse */
export function renderNixos(declared: HostPlan, { installNode, secretsDirectory }: NixosOptions): string {
  const plan = { ...declared, credentialsDirectory: secretsDirectory };
  const { files, settings, units } = hostParts(plan);
  const all = [...(plan.restoreOnly ? [] : [stanzaUnit(plan)]), ...units];
  return [
    "# Written by `pgbackstop render --format=nixos`: render it again instead of changing it.",
    `# Stanza ${plan.stanza}. Beside this file: runtime.cjs, the program${plan.agent ? ", and pgbackrest-client" : ""}. Secrets come from ${secretsDirectory}:`,
    ...secretComments(plan, secretsDirectory),
    "{ config, lib, pkgs, ... }:",
    "",
    "{",
    ...(installNode ? ["  environment.systemPackages = [ pkgs.nodejs_24 ];", ""] : []),
    "  environment.etc = {",
    `    ${nixString(relative(hostPaths(plan.directories).runtime))}.source = ./runtime.cjs;`,
    ...(plan.agent ? clientFile(plan) : []),
    ...files.flatMap((file) => etcFile(plan, file)),
    "  };",
    "",
    "  systemd.units = {",
    ...all.flatMap((unit) => unitLines(unit, files)),
    "  };",
    "",
    "  systemd.tmpfiles.rules = [",
    ...directoriesOf(plan).map(
      (path) => `    ${nixString(`d ${tmpfilesArgument(path)} 0750 ${plan.user} ${plan.user} -`)}`,
    ),
    "  ];",
    ...(plan.restoreOnly || Object.keys(settings).length === 0
      ? []
      : [
          "",
          "  services.postgresql.settings = {",
          ...Object.entries(settings).map(([name, value]) => `    ${name} = ${nixString(value)};`),
          "  };",
        ]),
    "}",
    "",
  ].join("\n");
}

/** Creates the stanza in every repository at each start; does nothing where it exists. */
function stanzaUnit(plan: HostPlan): Unit {
  const text = unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop stanza ${plan.stanza} in every repository`,
    "After=network-online.target remote-fs.target postgresql.service",
    "Wants=network-online.target",
    "",
    "[Service]",
    "Type=oneshot",
    `User=${plan.user}`,
    `ExecStart=${unitCommand(plan, ["stanza-create"])}`,
    ...credentialLines(plan),
    ...hardening(plan),
    "",
    "[Install]",
    "WantedBy=multi-user.target",
  ]);
  return madeUnit(`${unitName(plan.stanza, "stanza")}.service`, () => text, { enabled: true });
}

function filePaths(plan: HostPlan): string[] {
  return [hostPaths(plan.directories).runtime, ...hostParts(plan).files.map(({ path }) => path)];
}

/** PostgreSQL starts it for each segment. perl is not at its usual path. */
function clientFile({ directories }: HostPlan): string[] {
  return [
    `    ${nixString(relative(hostPaths(directories).client))} = {`,
    '      mode = "0755";',
    '      text = builtins.replaceStrings [ "#!/usr/bin/perl" ] [ "#!${pkgs.perl}/bin/perl" ] (builtins.readFile ./pgbackrest-client);',
    "    };",
  ];
}

function etcFile({ user }: HostPlan, { mode, owner, path, text }: RenderedFile): string[] {
  return [
    `    ${nixString(relative(path))} = {`,
    `      mode = ${nixString(mode)};`,
    ...(owner === "database" ? [`      user = ${nixString(user)};`] : []),
    ...(owner === "admin" ? [] : [`      group = ${nixString(user)};`]),
    `      text = ${nixText(text)};`,
    "    };",
  ];
}

function unitLines(unit: Unit, files: readonly RenderedFile[]): string[] {
  const { enabled, name, restarted, text } = unit;
  const wanted = [...text.matchAll(/^WantedBy=(.+)$/gm)].flatMap(([, targets = ""]) => targets.split(/\s+/));
  return [
    `    ${nixString(name)} = {`,
    // NixOS ignores an [Install] section.
    ...(enabled ? [`      wantedBy = [ ${wanted.map(nixString).join(" ")} ];`] : []),
    `      text = ${nixText(restarted ? text.replace("[Unit]\n", `[Unit]\n${triggerLine(files)}\n`) : text)};`,
    "    };",
  ];
}

/** NixOS restarts a unit only if its own text changes, and paths of program and configuration stay as they are. */
function triggerLine(files: readonly RenderedFile[]): string {
  const read = JSON.stringify([VERSION, files.map(({ path, text }) => [path, text])]);
  return `X-Restart-Triggers=${createHash("sha256").update(read).digest("hex")}`;
}

function secretComments(plan: HostPlan, secretsDirectory: string): string[] {
  const ids = [
    ...hostCredentials(plan).map(({ id }) => id),
    ...(plan.notifies ? [NOTIFY_CREDENTIAL] : []),
    ...(plan.sendsMetrics ? [OTLP_FILE] : []),
    ...(plan.servesReport ? [REPORT_PASSWORD] : []),
  ];
  return ids.length === 0 ? ["#   none are needed"] : ids.sort().map((id) => `#   ${secretsDirectory}/${id}`);
}

function directoriesOf(plan: HostPlan): string[] {
  const repositories = plan.repositories
    .filter(({ kind, requireMount }) => kind === "posix" && !requireMount)
    .map(({ path }) => path);
  const drilled = [...new Set(ownDrills(plan).map((drill) => drillPath(drill, plan)))];
  // Commands name it, also when no file is in it.
  const secrets = plan.agent ? [] : [secretsPath(plan)];
  return [...ownDirectories(plan.directories), ...secrets, ...drilled, ...(plan.restoreOnly ? [] : repositories)];
}

/** An argument of tmpfiles.d(5), where `%` begins a specifier. */
function tmpfilesArgument(path: string): string {
  const literal = path.replaceAll("%", "%%");
  return literal.includes(" ") ? `"${literal}"` : literal;
}

function relative(path: string): string {
  return path.startsWith(ETC) ? path.slice(ETC.length) : path;
}

/** One text in double quotes, with `${` and Nix's other special characters escaped. */
function nixString(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("${", "\\${").replaceAll("\n", "\\n")}"`;
}

/** Lines between two pairs of single quotes, indented; Nix removes the common indentation. */
function nixText(text: string): string {
  const lines = text.replaceAll("''", "'''").replaceAll("${", "''${").split("\n");
  return [
    "''",
    ...lines.slice(0, -1).map((line) => (line === "" ? "" : `        ${line}`)),
    `        ${lines.at(-1) ?? ""}''`,
  ].join("\n");
}
