/** What programs declare of a host of the tests, and what its units must be. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { HostConnection, HostRepositoryArgs } from "../../../components/databases/hostArgs";
import { PosixRepository } from "../../../components/repositories/posixRepository";
import type { S3CompatibleRepositoryArgs } from "../../../components/repositories/s3CompatibleRepository";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { s3Kind } from "../real/interopParts";
import type { DebianHost } from "./debianHost";

const S3_NAME = "s3.test";
const S3_CA = "/etc/ssl/s3-ca.pem";

/** How an update signs in. @param user `deploy` becomes root with sudo */
export function connectionTo(host: DebianHost, user: "deploy" | "root" = "deploy"): HostConnection {
  return { ssh: { ...host.ssh, user, hostKeys: [...host.hostKeys], privateKey: host.keys[user] } };
}

/** Two directories of the host, in a program. */
export function twoDirectories(keepDays = 7): { readonly [key: string]: HostRepositoryArgs } {
  const at = (path: string) => new PosixRepository(path.slice(5), { path }).target;
  return { repo1: { at: at("/srv/first"), keepDays }, repo2: { at: at("/srv/second"), keepDays: 60 } };
}

/** An S3 server on this machine that {@link showServer} shows to hosts. */
export async function startHostServer(): Promise<S3Server> {
  return S3Server.create({ kind: await s3Kind(), moreNames: [S3_NAME] });
}

export async function showServer(host: DebianHost, server: S3Server): Promise<void> {
  const address = await host.network.expose(server.port);
  await host.runOk(["sh", "-c", `echo "${address} ${S3_NAME}" >> /etc/hosts; cat > ${S3_CA}`], {
    input: readFileSync(server.caFile),
  });
}

/** The server's bucket, in a program. */
export function bucketOf({ accessKey, bucket, port, region, secretKey }: S3Server): S3CompatibleRepositoryArgs {
  return {
    bucket: { existing: { name: bucket, credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } } },
    endpoint: S3_NAME,
    port,
    region,
    uriStyle: "path",
    caFile: S3_CA,
  };
}

/**
 * Debian's cluster as a tree has it, in the host's own layer: overlayfs renames no directory of the tree.
 * @param command runs while the server is stopped
 */
export async function ownCluster(host: DebianHost, version: number, command = "true"): Promise<void> {
  const data = `/var/lib/postgresql/${version}/main`;
  const unit = `postgresql@${version}-main`;
  const copied = `cp -a ${data} ${data}.new && rm -r ${data} && mv ${data}.new ${data}`;
  await host.runOk(["sh", "-c", `systemctl stop ${unit} && ${copied} && ${command} && systemctl start ${unit}`]);
}

/** systemd reports no fault in any unit, and rates these services as well protected. Returns their names. */
export async function expectSoundUnits(host: DebianHost, services = "pgbackstop-*.service"): Promise<string[]> {
  const inUnits = (line: string): string[] => ["sh", "-c", `cd /etc/systemd/system; ${line}`];
  const verified = await host.run(inUnits("systemd-analyze verify --man=no pgbackstop-* 2>&1"));
  expect(verified).toMatchObject({ exitCode: 0, stdout: "" });
  const names = (await host.runOk(inUnits(`ls -d ${services}`))).trim().split("\n");
  for (const name of names) await expectProtected(host, name);
  return names;
}

export async function expectProtected(host: DebianHost, service: string): Promise<void> {
  const security = ["systemd-analyze", "security", "--no-pager", "--offline=true"];
  const { stdout } = await host.run([...security, `/etc/systemd/system/${service}`]);
  const score = /exposure level for \S+: ([0-9.]+)/.exec(stdout)?.[1];
  console.log(`${host.suite} ${service}: ${score}`);
  expect([service, Number(score) <= 2]).toEqual([service, true]);
}
