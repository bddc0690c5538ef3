/**
 * `npm run test:live` against servers of this machine instead of real accounts: what it runs, what it leaves behind,
 * and what it prints about accounts that it does not test.
 */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runLive } from "../../tools/live/run";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { holdsSecret } from "../harness/compare/secrets";
import { hasVersitygw } from "../harness/real/interopParts";

async function live(variables: Record<string, string>): Promise<{ code: number; lines: string[]; text: string }> {
  const lines: string[] = [];
  const code = await runLive(variables, (line) => lines.push(line));
  return { code, lines, text: lines.join("\n") };
}

// claim: README.md: `npm run test:live` runs…
test("without an account nothing is tested, and the output explains how to create throw-away ones", async () => {
  const { code, lines, text } = await live({});
  expect(code).toBe(0);
  expect(lines.filter((line) => line.startsWith("NOT RUN "))).toHaveLength(6);
  expect(text.match(/to make throw-away ones: /g)).toHaveLength(6);
  expect(lines.at(-1)).toBe("NOTHING WAS TESTED: no account is in the environment");
});

describe("an account's bucket", async () => {
  if (!(await hasVersitygw("an account's bucket"))) return;
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.create({ kind: "versitygw" });
  });
  afterAll(() => server?.remove());

  function environment(prefix: string, over: Readonly<Record<string, string>> = {}): Record<string, string> {
    const { accessKey, bucket, caFile, host, port, region, secretKey } = server;
    const args = {
      BUCKET: bucket,
      ENDPOINT: host,
      PORT: String(port),
      REGION: region,
      KEY_ID: accessKey,
      KEY: secretKey,
      CA_FILE: caFile,
      ...over,
    };
    return Object.fromEntries(Object.entries(args).map(([arg, value]) => [`${prefix}_${arg}`, value]));
  }

  // claim: README.md: `npm run test:live` runs all of it, removes what it created, and names what it does not run (this
  //   machine's servers; Backblaze's API and Amazon's provider are doubles, Amazon's bucket and users real at
  //   versitygw)
  test("doctor, backups, WAL, verify, an equal restore, and nothing left; another account's wrong key fails alone", async () => {
    const { code, lines, text } = await live({
      ...environment("R2"),
      ...environment("B2", { KEY: "wrong-planted-key" }),
    });
    expect(text).toContain("PASSED R2: doctor, backup, WAL, verify and restore");
    for (const done of [
      "stanza-create",
      "backup --type=full",
      "backup --type=incr",
      "check",
      "verify",
      "compare: ",
      "cleanup: nothing is left",
    ]) {
      expect(text).toContain(`  ok   ${done}`);
    }
    expect(text).toContain("  ok   missing: a missing file is reported as missing");
    expect(text).toMatch(/FAILED B2: doctor[^]*: doctor: exit code/);
    expect(text).toContain(
      "NOT RUN B2: up, second up, backup with the keys that were made, destroy: B2_APPLICATION_KEY_ID, B2_APPLICATION_KEY not set",
    );
    expect([code, lines.at(-1)]).toEqual([1, "1 passed, 1 failed"]);
    expect(
      readdirSync(server.bucketPath, { recursive: true, encoding: "utf8" }).filter((name) => name.includes("live")),
    ).toEqual([]);
    expect(holdsSecret(text, [server.secretKey, "wrong-planted-key"])).toBe(false);
  });
});
