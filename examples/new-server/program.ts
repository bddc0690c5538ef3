/**
 * A server at Hetzner, PostgreSQL on it, and its backups, all by one update. The program makes the server's host key
 * and hands it over as user data, so the first connection already knows it: nothing is trusted on first use. The update
 * waits until the server answers and its cloud-init has ended. README.md has the same for EC2.
 */
import * as hcloud from "@pulumi/hcloud";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";
import { B2Repository, CipherPassphrase, PostgresHost, SftpRepository } from "pgbackstop";

export interface NewServerSettings {
  /** Name of the new bucket; no other customer of Backblaze has the same. */
  readonly bucket: string;
  /** A Storage Box or any other machine with SFTP. */
  readonly near: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    /** `ssh-keyscan` prints it. */
    readonly hostKey: string;
    readonly privateKey: pulumi.Input<string>;
  };
  readonly serverType: string;
  readonly location: string;
}

export interface NewServerOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly address: pulumi.Output<string>;
  readonly topology: pulumi.Output<string>;
  readonly restoreCommand: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program({ bucket, location, near, serverType }: NewServerSettings): NewServerOutputs {
  const login = new tls.PrivateKey("orders-login", { algorithm: "ED25519" });
  const hostKey = new tls.PrivateKey("orders-host-key", { algorithm: "ED25519" });
  const server = new hcloud.Server("orders", {
    image: "debian-13",
    serverType,
    location,
    sshKeys: [new hcloud.SshKey("orders-login", { publicKey: login.publicKeyOpenssh }).id],
    userData: userData(hostKey),
  });

  const key = new CipherPassphrase("orders-key");
  const cipher = key.ref;
  const box = new SftpRepository("orders-near", { ...near, path: "/pgbackrest/orders", offSite: false, cipher });
  const b2 = new B2Repository("orders-b2", { bucket: { create: { name: bucket } }, cipher });
  const db = new PostgresHost("orders", {
    connection: {
      host: server.ipv4Address,
      privateKey: login.privateKeyOpenssh,
      hostKey: hostKey.publicKeyOpenssh,
    },
    postgres: { version: 17, install: true },
    dataDirectory: "/var/lib/postgresql/17/main",
    stanza: "orders",
    repositories: { repo1: { at: box.target, keepDays: 7 }, repo2: { at: b2.target, keepDays: 60 } },
    schedules: { full: { cron: "30 2 * * 0" }, diff: { cron: "30 2 * * 1-6" } },
    drills: { monthly: { cron: "0 5 1 * *", maxMinutes: 120 } },
    objectives: { rpoSeconds: 300, rtoMinutes: 60 },
    allowRestart: true,
    restartCommand: ["systemctl", "restart", "postgresql@17-main"],
  });
  return {
    address: server.ipv4Address,
    topology: db.topology,
    restoreCommand: db.restoreCommand,
    passphrase: key.passphrase,
  };
}

/** cloud-init installs the host key before sshd starts, and makes no other. JSON is YAML too. */
function userData(hostKey: tls.PrivateKey): pulumi.Output<string> {
  return pulumi
    .all([hostKey.privateKeyOpenssh, hostKey.publicKeyOpenssh])
    .apply(([ed25519_private, ed25519_public]) =>
      ["#cloud-config", JSON.stringify({ ssh_keys: { ed25519_private, ed25519_public } })].join("\n"),
    );
}
