/**
 * Secrets that are files, one per value: as Kubernetes mounts a Secret, `<PGBACKSTOP_SECRETS>/repo1/ACCESS_SECRET_KEY`,
 * and as systemd passes credentials to a unit, `<CREDENTIALS_DIRECTORY>/repo1-s3-key-secret`; or lines of an
 * environment file, `<CREDENTIALS_DIRECTORY>/repo1-env`. They count as variables of the environment without being in
 * any environment. Pure.
 */
import type { FileAccess } from "./files";
import { OPTIONS as OPTION_ROWS } from "./options";

/** File name → option, without `PGBACKREST_REPO1_`. */
const OPTIONS: Readonly<Record<string, string>> = {
  ACCESS_KEY_ID: "S3_KEY",
  ACCESS_SECRET_KEY: "S3_KEY_SECRET",
  ACCESS_SESSION_TOKEN: "S3_TOKEN",
  AZURE_KEY: "AZURE_KEY",
  GCS_KEY: "GCS_KEY",
  ENCRYPTION_PASS: "CIPHER_PASS",
};

const REPO_OPTIONS = OPTION_ROWS.filter(({ acted, group }) => acted && group === "repo");
/** Names of other programs in an environment file → option. */
const ENV_NAMES: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: "S3_KEY",
  AWS_SECRET_ACCESS_KEY: "S3_KEY_SECRET",
  AWS_SESSION_TOKEN: "S3_TOKEN",
};
/** A credential that is an environment file with the secrets of one repository. */
const ENV_FILE = /^(repo\d+)-env$/;

/** Credentials that hold the value of the option of that name. */
const CREDENTIAL = credentialPattern(REPO_OPTIONS.filter(({ secret }) => secret === true));
/** Credentials that are themselves the file which the option names. */
const CREDENTIAL_FILE = credentialPattern(REPO_OPTIONS.filter(({ name }) => name.endsWith("-private-key-file")));

type Environment = Readonly<Record<string, string | undefined>>;

/** The environment takes precedence over files. */
export function withSecretFiles(env: Environment, access: FileAccess): Environment {
  return {
    ...fromCredentials(env["CREDENTIALS_DIRECTORY"], access),
    ...fromSecret(env["PGBACKSTOP_SECRETS"], access),
    ...env,
  };
}

function fromSecret(directory: string | undefined, access: FileAccess): Record<string, string> {
  if (directory === undefined || directory === "") return {};
  const variables: Record<string, string> = {};
  for (const repo of (access.listDirectory(directory) ?? []).filter((name) => /^repo\d+$/.test(name))) {
    for (const [file, option] of Object.entries(OPTIONS)) {
      const text = access.readFile(`${directory}/${repo}/${file}`)?.replace(/\r?\n$/, "");
      if (text !== undefined && text !== "") variables[`PGBACKREST_${repo.toUpperCase()}_${option}`] = text;
    }
  }
  return variables;
}

function fromCredentials(directory: string | undefined, access: FileAccess): Record<string, string> {
  if (directory === undefined || directory === "") return {};
  const names = access.listDirectory(directory) ?? [];
  const variables: Record<string, string> = {};
  for (const name of names) {
    const repo = ENV_FILE.exec(name)?.[1];
    if (repo !== undefined) Object.assign(variables, fromEnvFile(repo, access.readFile(`${directory}/${name}`) ?? ""));
  }
  for (const name of names) {
    const path = `${directory}/${name}`;
    const value = CREDENTIAL_FILE.test(name)
      ? path
      : CREDENTIAL.test(name)
        ? access.readFile(path)?.replace(/\r?\n$/, "")
        : undefined;
    if (value !== undefined && value !== "") variables[`PGBACKREST_${name.toUpperCase().replaceAll("-", "_")}`] = value;
  }
  return variables;
}

/** Only secrets of this repository count. */
function fromEnvFile(repo: string, text: string): Record<string, string> {
  const prefix = `PGBACKREST_${repo.toUpperCase()}_`;
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseEnvFile(text))) {
    const known = ENV_NAMES[name];
    const own =
      name.startsWith(prefix) && CREDENTIAL.test(name.slice("PGBACKREST_".length).toLowerCase().replaceAll("_", "-"));
    if (value === "" || (known === undefined && !own)) continue;
    variables[known === undefined ? name : `${prefix}${known}`] = value;
  }
  return variables;
}

/** `NAME=value` lines, with or without `export` and quotes, as systemd and shells read them. Nothing is expanded. */
export function parseEnvFile(text: string): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, quoted = ""] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) variables[name] = unquoted(quoted.trim());
  }
  return variables;
}

function unquoted(text: string): string {
  if (/^'[^']*'$/.test(text)) return text.slice(1, -1);
  if (/^"(?:[^"\\]|\\.)*"$/.test(text)) return text.slice(1, -1).replaceAll(/\\(["\\$`])/g, "$1");
  return text;
}

function credentialPattern(options: readonly { readonly name: string }[]): RegExp {
  return new RegExp(`^repo\\d+-(${options.map(({ name }) => name.slice("repo-".length)).join("|")})$`);
}
