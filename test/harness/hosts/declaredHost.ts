/** What programs declare of a host of the tests, and what its units must be. */
import { expect } from "vitest";
import type { HostConnection, HostRepositoryArgs } from "../../../components/databases/hostArgs";
import { PosixRepository } from "../../../components/repositories/posixRepository";
import type { DebianHost } from "./debianHost";

/** How an update signs in. @param user `deploy` becomes root with sudo */
export function connectionTo(host: DebianHost, user: "deploy" | "root" = "deploy"): HostConnection {
  return { ssh: { ...host.ssh, user, hostKeys: [...host.hostKeys], privateKey: host.keys[user] } };
}

/** Two directories of the host, in a program. */
export function twoDirectories(keepDays = 7): { readonly [key: string]: HostRepositoryArgs } {
  const at = (path: string) => new PosixRepository(path.slice(5), { path }).target;
  return { repo1: { at: at("/srv/first"), keepDays }, repo2: { at: at("/srv/second"), keepDays: 60 } };
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
