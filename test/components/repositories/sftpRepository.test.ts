/** An SFTP repository from its arguments to findings, topology, pgbackrest.conf and the files of the host. */
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { secretFiles } from "../../../components/credentials/repositorySecretFiles";
import { findingText } from "../../../components/plan/findings/findings";
import { checkHost } from "../../../components/plan/rules";
import type { SftpSettings } from "../../../components/plan/repositories/sftpType";
import type { TargetSettings } from "../../../components/plan/repositories/repositoryTypes";
import { topologyOf } from "../../../components/plan/topology/topology";
import { unknownMarker } from "../../../components/plan/model/unknown";
import { credentialLines } from "../../../components/render/host/systemdCredentials";
import { renderPgbackrestConf } from "../../../components/render/host/pgbackrestConf";
import { backupUnits } from "../../../components/render/units/backupUnits";
import { SftpRepository, type SftpRepositoryArgs } from "../../../components/repositories/sftpRepository";
import { load, MAIN_FILE } from "../../runtime/config/support";
import { NAS, plan } from "../plans";

/** Made by ssh-keygen, which also shows the SHA-256. */
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJbQ2VvNLPQ3MbQjHuXgva780eFGEYRZhfuPbJ1yIAf root@backup";
const SHA256 = "88fd5d125a938f145b9dda48ee87339d034b518b1e6e8426e7661998922ec66f";
const DIRECTORIES = { config: "/etc/pgbackstop", lib: "/usr/local/lib/pgbackstop" };

function boxPlan(sftp: Partial<SftpSettings> = {}, at: Partial<TargetSettings> = {}): ReturnType<typeof plan> {
  const own = { host: "backup.example.net", user: "orders", hostKey: HOST_KEY, ...sftp };
  const target = { name: "box", path: "/srv/orders", encrypted: true, offSite: true, sftp: own, ...at };
  return plan({ repositories: { repo1: NAS, repo2: { at: target, keepDays: 60 } } });
}

function findings(sftp: Partial<SftpSettings>, at: Partial<TargetSettings> = {}): string[] {
  return checkHost(boxPlan(sftp, at))
    .filter((result) => result.path.startsWith("repositories.repo2"))
    .map(findingText);
}

describe("the plan", () => {
  test("knows the host by the SHA-256 of its key, in any form", () => {
    const of = (sftp: Partial<SftpSettings>): unknown =>
      boxPlan({ hostKey: undefined, ...sftp }).repositories[1]?.sftp?.fingerprint;
    expect(of({ hostKey: HOST_KEY })).toBe(SHA256);
    for (const hostFingerprint of [SHA256, SHA256.toUpperCase(), "SHA256:iP1dElqTjxRbndpI7ocznQNLUYseboQm52YZmJIuxm8"])
      expect(of({ hostFingerprint })).toBe(SHA256);
    expect(of({ hostKey: unknownMarker(3) })).toBe(unknownMarker(3));
  });

  test("has no findings if all values are given, or unknown", () => {
    expect(findings({})).toEqual([]);
    const unknown = { host: unknownMarker(1), user: unknownMarker(2), hostKey: unknownMarker(3) };
    expect(findings(unknown, { path: unknownMarker(4) })).toEqual([]);
  });

  test("names errors, and quotes no key", () => {
    expect(findings({ host: "orders@backup.example.net" }).join()).toContain(
      '"orders@backup.example.net" is not a host name',
    );
    expect(findings({ user: "a b" }).join()).toContain('"a b" is not an account name');
    expect(findings({ port: 0 }).join()).toContain("0 is not a port: 1 to 65535");
    expect(findings({}, { path: "backups" }).join()).toContain('"backups" is not an absolute path');
    expect(findings({ hostKey: undefined }).join()).toContain("neither hostKey nor hostFingerprint is set");
    expect(findings({ hostFingerprint: SHA256 }).join()).toContain("hostKey and hostFingerprint are both set");
    for (const wrong of ["-----BEGIN OPENSSH PRIVATE KEY-----\nmarker", "ssh-rsa marker", "marker"]) {
      const result = findings({ hostKey: wrong }).join();
      expect(result).toContain("the value is not a public key");
      expect(result).not.toContain("marker");
    }
    expect(findings({ hostKey: undefined, hostFingerprint: "MD5:marker" }).join()).toContain(
      "the value is not a SHA-256",
    );
  });

  test("warns of a server that can read the database", () => {
    expect(findings({}, { encrypted: false }).join()).toContain(
      "anyone who can read the directory on the server can read the database",
    );
  });

  test("refuses two repositories in one directory of a server", () => {
    const at: TargetSettings = {
      name: "box",
      path: "/srv",
      encrypted: true,
      sftp: { host: "h", user: "u", hostKey: HOST_KEY },
    };
    const other = { ...at, path: "/srv/orders" };
    const result = checkHost(
      plan({ repositories: { repo1: { at, keepDays: 7 }, repo2: { at: other, keepDays: 7 } } }),
    ).map(findingText);
    expect(result.join("\n")).toContain(
      '"sftp://u@h/srv/orders" and "sftp://u@h/srv" of repo1 are one inside the other',
    );
  });

  test("shows it as a separate location", () => {
    expect(topologyOf(boxPlan()).repositories[1]).toMatchObject({
      kind: "sftp",
      location: "sftp://orders@backup.example.net/srv/orders",
      provider: "sftp",
      failureDomain: "backup.example.net",
      offSite: true,
    });
  });
});

test("pgbackrest.conf has the same meaning for stock and the runtime, without a secret", () => {
  const text = renderPgbackrestConf(boxPlan({ port: 2222 }));
  expect(text).toContain(`repo2-sftp-host-fingerprint=${SHA256}\n`);
  expect(text).toContain("repo2-sftp-host-key-check-type=fingerprint\n");
  const passphrase = "[global]\nrepo2-cipher-pass=pass\nrepo2-sftp-private-key-passphrase=phrase\n";
  const { config } = load({ argv: ["backup", "--stanza=main"], files: { [MAIN_FILE]: `${text}\n${passphrase}` } });
  expect(config.repos[1]).toMatchObject({ type: "sftp", path: "/srv/orders", cipherType: "aes-256-cbc", bundle: true });
  expect(config.repos[1]?.sftp).toMatchObject({
    host: "backup.example.net",
    port: 2222,
    user: "orders",
    hostKeyCheck: { type: "fingerprint", hashType: "sha256", fingerprint: SHA256 },
    privateKeyFile: "/etc/pgbackstop/credentials/repo2-sftp.key",
  });
});

test("units get a private key that the host already has, at its path", () => {
  const at = {
    name: "box",
    path: "/srv/orders",
    encrypted: true,
    sftp: { host: "h", user: "u", hostKey: HOST_KEY, hasKey: false },
  };
  const of = (files: object) => plan({ repositories: { repo1: NAS, repo2: { at, keepDays: 60, secretFiles: files } } });
  const printed = (result: ReturnType<typeof of>) =>
    checkHost(result).flatMap(({ code, severity }) => (severity === "error" ? [code] : []));
  const keyLines = (result: ReturnType<typeof of>) =>
    credentialLines(result).filter((line) => line.includes("sftp-private-key"));

  const there = of({ privateKey: "/run/secrets/box", privateKeyPassphrase: "/run/secrets/phrase" });
  expect(printed(there)).toEqual([]);
  expect(keyLines(there)).toEqual([
    "LoadCredential=repo2-sftp-private-key-file:/run/secrets/box",
    "LoadCredential=repo2-sftp-private-key-passphrase:/run/secrets/phrase",
  ]);
  expect(renderPgbackrestConf(there)).toContain("repo2-sftp-private-key-file=/run/secrets/box\n");

  // A file of options may have other values, which are not read here.
  const options = of({ options: "/run/secrets/box.conf" });
  expect([printed(options), keyLines(options)]).toEqual([[], []]);
  expect(renderPgbackrestConf(options)).not.toContain("sftp-private-key-file");
});

test("the unit of a backup does not wait for its mount, or write to its directory", () => {
  const texts = backupUnits(boxPlan()).map((unit) => unit.text);
  expect(texts).toHaveLength(2);
  expect(texts.join("\n")).not.toContain("/srv/orders");
});

describe("the component", () => {
  const registered: { type: string; inputs: Record<string, unknown> }[] = [];
  beforeAll(async () => {
    await pulumi.runtime.setMocks({
      newResource: (resource) => {
        registered.push({ type: resource.type, inputs: resource.inputs as Record<string, unknown> });
        return { id: "", state: {} };
      },
      call: () => ({}),
    });
  });
  const known = (output: pulumi.Output<unknown>): Promise<unknown> =>
    new Promise((resolve) => void output.apply(resolve));
  const make = (more: Partial<SftpRepositoryArgs> = {}): SftpRepository =>
    new SftpRepository("box", {
      host: "h",
      user: "u",
      path: "/srv/orders",
      hostKey: HOST_KEY,
      privateKey: "markerKey\r\n\n",
      ...more,
    });

  test("passes its keys on as secrets, one as a separate file", async () => {
    const { target, location } = make({ privateKeyPassphrase: "markerPhrase", cipher: { passphrase: "markerPass" } });
    expect(await known(location)).toBe("sftp://u@h/srv/orders");
    const files = secretFiles({ directories: DIRECTORIES, agent: false }, "repo2", target);
    expect(files.map((file) => file.path)).toEqual([
      "/etc/pgbackstop/conf.d/repo2-credentials.conf",
      "/etc/pgbackstop/conf.d/repo2-sftp.key",
    ]);
    const texts = await Promise.all(files.map((file) => known(file.text)));
    expect(texts[0]).toContain("repo2-cipher-pass=markerPass\nrepo2-sftp-private-key-passphrase=markerPhrase\n");
    expect(texts[1]).toBe("markerKey\n");
    for (const { text } of files) expect(await pulumi.isSecret(text)).toBe(true);
    await expect.poll(() => registered.filter((resource) => resource.type.endsWith("SftpRepository")).length).toBe(1);
    expect(JSON.stringify(registered)).not.toContain("marker");
  });

  test("needs no credentials file without passphrase and cipher", () => {
    expect(
      secretFiles({ directories: DIRECTORIES, agent: false }, "repo2", make().target).map((file) => file.path),
    ).toEqual(["/etc/pgbackstop/conf.d/repo2-sftp.key"]);
  });
});
