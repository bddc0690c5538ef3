/**
 * Secrets that are files, one per value: as Kubernetes mounts a Secret, `<PGBACKSTOP_SECRETS>/repo1/ACCESS_SECRET_KEY`,
 * and as systemd passes credentials to a unit, `<CREDENTIALS_DIRECTORY>/repo1-s3-key-secret`. They count as variables
 * of the environment without being in any environment. Pure.
 */
import { OPTIONS as OPTION_ROWS } from "./options";

/** File name → option, without `PGBACKREST_REPO1_`. */
const OPTIONS: Readonly<Record<string, string>> = {
  ACCESS_KEY_ID: "S3_KEY",
  ACCESS_SECRET_KEY: "S3_KEY_SECRET",
  ACCESS_SESSION_TOKEN: "S3_TOKEN",
  ENCRYPTION_PASS: "CIPHER_PASS",
};

const REPO_OPTIONS = OPTION_ROWS.filter(({ acted, group }) => acted && group === "repo");
/** Credentials that hold the value of the option of that name. */
const CREDENTIAL = credentialPattern(REPO_OPTIONS.filter(({ secret }) => secret === true));
/** Credentials that are themselves the file which the option names. */
const CREDENTIAL_FILE = credentialPattern(REPO_OPTIONS.filter(({ name }) => name.endsWith("-private-key-file")));

type Environment = Readonly<Record<string, string | undefined>>;

interface SecretAccess {
  /** Null when the file is missing. */
  readonly readFile: (path: string) => string | null;
  readonly listDirectory: (path: string) => readonly string[];
}

/** The environment takes precedence over files. */
export function withSecretFiles(env: Environment, access: SecretAccess): Environment {
  return {
    ...fromCredentials(env["CREDENTIALS_DIRECTORY"], access),
    ...fromSecret(env["PGBACKSTOP_SECRETS"], access),
    ...env,
  };
}

function fromSecret(directory: string | undefined, access: SecretAccess): Record<string, string> {
  if (directory === undefined || directory === "") return {};
  const variables: Record<string, string> = {};
  for (const repo of access.listDirectory(directory).filter((name) => /^repo\d+$/.test(name))) {
    for (const [file, option] of Object.entries(OPTIONS)) {
      const text = access.readFile(`${directory}/${repo}/${file}`)?.replace(/\r?\n$/, "");
      if (text !== undefined && text !== "") variables[`PGBACKREST_${repo.toUpperCase()}_${option}`] = text;
    }
  }
  return variables;
}

function fromCredentials(directory: string | undefined, access: SecretAccess): Record<string, string> {
  if (directory === undefined || directory === "") return {};
  const variables: Record<string, string> = {};
  for (const name of access.listDirectory(directory)) {
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

function credentialPattern(options: readonly { readonly name: string }[]): RegExp {
  return new RegExp(`^repo\\d+-(${options.map(({ name }) => name.slice("repo-".length)).join("|")})$`);
}
