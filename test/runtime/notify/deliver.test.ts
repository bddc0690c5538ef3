import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../runtime/base/clock";
import { deliver, type Delivery } from "../../../runtime/notify/deliver";
import { type Notification, notificationOf, type NotificationInput } from "../../../runtime/notify/message";
import { parseTargets } from "../../../runtime/notify/targets";
import { usualAuthoritiesAnd } from "../../../runtime/web/ask";
import { type CertificateFiles, makeCertificates } from "../../../tools/parts/servers/certificates";
import { TEST_TIME_MS, testContext } from "../../harness/context";
import { type SmtpPlan, startSmtpServer, startWebServer, type WebServer } from "../../harness/doubles/messageServers";
import { temporaryFolder } from "../repository/support";

const UNIT = "pgbackstop-main-full.service";
const TOKEN = "123456:telegram-token";
const INVOCATION = "0123456789abcdef0123456789abcdef";
const FAILURE: NotificationInput = {
  event: "failure",
  stanza: "main",
  host: "db1",
  unit: UNIT,
  facts: { result: "exit-code", status: "50", invocationId: INVOCATION },
  drill: null,
  atMs: TEST_TIME_MS,
};

/** Pauses between attempts take no time. An attempt gets one second instead of ten, enough for a busy machine. */
const sleeps: number[] = [];
const clock: Clock = {
  ...systemClock,
  sleep: (durationMs, signal) => {
    if (durationMs < 10_000) sleeps.push(durationMs);
    return systemClock.sleep(durationMs < 10_000 ? 0 : 1_000, signal);
  },
};
const context = () => testContext({ clock });

let web: WebServer;
beforeEach(async () => {
  sleeps.length = 0;
  web = await startWebServer();
});
afterEach(() => web.close());

const report = (
  target: object,
  input: Partial<NotificationInput> = {},
  readFile = async (): Promise<Uint8Array | null> => null,
): Promise<Delivery[]> => {
  const targets = parseTargets(JSON.stringify({ version: 1, targets: [target] }), "notify.json", (text) =>
    expect.fail(text),
  );
  return deliver(targets, notificationOf({ ...FAILURE, ...input }), { readFile }, context());
};
const json = (index = 0): Record<string, unknown> => JSON.parse(web.requests[index]?.body ?? "null");

describe("each service gets its documented format", () => {
  test("Slack: a text, with its three characters escaped", async () => {
    expect(await report({ type: "slack", url: `${web.origin}/services/T/B/secret` }, { unit: "a<b>&c" })).toEqual([
      { target: "slack", error: null },
    ]);
    expect(web.requests[0]).toMatchObject({
      method: "POST",
      path: "/services/T/B/secret",
      headers: { "content-type": "application/json" },
    });
    expect(json()["text"]).toContain("*a&lt;b&gt;&amp;c failed on db1*");
    expect(json()["text"]).toContain("result: exit-code, status 50 (LockAcquireError)");
  });

  test("ntfy: JSON to the root of the server, with a token", async () => {
    await report({ type: "ntfy", url: web.origin, topic: "backups", token: "tk_secret" });
    expect(web.requests[0]).toMatchObject({ path: "/", headers: { authorization: "Bearer tk_secret" } });
    expect(json()).toMatchObject({
      topic: "backups",
      title: `${UNIT} failed on db1`,
      priority: 4,
      tags: ["rotating_light"],
    });
    await report({ type: "ntfy", url: web.origin, topic: "backups", user: "me", password: "word" }, { event: "test" });
    expect(web.requests[1]?.headers.authorization).toBe(`Basic ${Buffer.from("me:word").toString("base64")}`);
    expect(json(1)).toMatchObject({ priority: 3 });
  });

  test("Telegram: sendMessage of the bot, at its own server too", async () => {
    const target = { type: "telegram", botToken: TOKEN, chatId: "-1001234567890", apiUrl: `${web.origin}/bots/` };
    expect(await report({ ...target, threadId: 7 })).toEqual([{ target: "telegram", error: null }]);
    expect(web.requests[0]).toMatchObject({
      method: "POST",
      path: `/bots/bot${TOKEN}/sendMessage`,
      headers: { "content-type": "application/json" },
    });
    expect(web.requests[0]?.headers.authorization).toBeUndefined();
    expect(json()).toMatchObject({ chat_id: "-1001234567890", message_thread_id: 7 });
    expect(json()["text"]).toContain(`${UNIT} failed on db1\nstanza: main\n`);
  });

  test("Discord and Teams: a message and a card to the address, as it is", async () => {
    web.planned.push({ status: 204 }, { status: 202 });
    const query = "?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=a-b_c";
    expect(await report({ type: "discord", url: `${web.origin}/api/webhooks/1/x` })).toMatchObject([{ error: null }]);
    expect(await report({ type: "teams", url: `${web.origin}/workflows/f00${query}` })).toMatchObject([
      { error: null },
    ]);
    expect(web.requests.map(({ path }) => path)).toEqual(["/api/webhooks/1/x", `/workflows/f00${query}`]);
    expect(json(0)).toMatchObject({ allowed_mentions: { parse: [] } });
    expect(json(1)).toMatchObject({ type: "message", attachments: [{ content: { type: "AdaptiveCard" } }] });
  });

  test("healthchecks.io: start, end and failure of one run belong together, a test is a line of its log", async () => {
    const target = { type: "healthchecks", url: `${web.origin}/ping/uuid` };
    for (const event of ["start", "success", "failure", "test"] as const) await report(target, { event });
    const rid = "rid=01234567-89ab-cdef-0123-456789abcdef";
    expect(web.requests.map(({ path }) => path)).toEqual([
      `/ping/uuid/start?${rid}`,
      `/ping/uuid?${rid}`,
      `/ping/uuid/fail?${rid}`,
      "/ping/uuid/log",
    ]);
    expect(web.requests[2]?.body).toContain(`journalctl _SYSTEMD_INVOCATION_ID=${INVOCATION}`);
  });

  test("Alertmanager: a failure raises an alert that a success of the same unit resolves", async () => {
    const target = { type: "alertmanager", url: `${web.origin}/` };
    await report(target);
    await report(target, { event: "success", atMs: TEST_TIME_MS + 60_000 });
    expect(web.requests.map(({ path }) => path)).toEqual(["/api/v2/alerts", "/api/v2/alerts"]);
    const [[begun], [ended]] = web.requests.map(({ body }) => JSON.parse(body)) as [
      [Record<string, string>],
      [Record<string, string>],
    ];
    expect(begun["labels"]).toEqual({
      alertname: "PgbackstopUnitFailed",
      instance: "db1",
      severity: "critical",
      stanza: "main",
      unit: UNIT,
    });
    expect(ended["labels"]).toEqual(begun["labels"]);
    // Longer than a monthly schedule's pause: Alertmanager reports the end as a recovery.
    expect(Date.parse(begun["endsAt"] ?? "") - TEST_TIME_MS).toBeGreaterThan(32 * 24 * 3600_000);
    expect(Date.parse(ended["endsAt"] ?? "")).toBe(TEST_TIME_MS + 60_000);
  });

  // claim: docs/notifications.md: a passed drill ends the alerts of its own repository alone
  test("Alertmanager: a drill of one repository resolves no other repository's alert", async () => {
    const target = { type: "alertmanager", url: web.origin };
    const drill = { ok: false, title: "fire drill of repo1 failed", lines: [], repo: 1 };
    await report(target, { event: "drill", drill });
    await report(target, { event: "drill", drill: { ...drill, ok: true, repo: 2 } });
    await report(target, { event: "drill", drill: null });
    const alerts = web.requests.map(({ body }) =>
      (JSON.parse(body) as { labels: Record<string, string>; endsAt: string }[]).map(({ endsAt, labels }) => [
        labels["alertname"],
        labels["repo_key"],
        Date.parse(endsAt) > TEST_TIME_MS,
      ]),
    );
    expect(alerts).toEqual([
      [["PgbackstopDrillFailed", "1", true]],
      [
        ["PgbackstopDrillFailed", "2", false],
        // That of a drill that died without a record.
        ["PgbackstopDrillFailed", undefined, false],
      ],
      [["PgbackstopDrillFailed", undefined, true]],
    ]);
  });

  test("a webhook: fields, and a signature over the time and the body", async () => {
    await report({ type: "webhook", url: `${web.origin}/hook`, hmacSecret: "shared" });
    const [request] = web.requests;
    const timestamp = request?.headers["x-pgbackstop-timestamp"];
    expect(timestamp).toBe(String(TEST_TIME_MS / 1000));
    const digest = createHmac("sha256", "shared")
      .update(`${String(timestamp)}.${request?.body}`)
      .digest("hex");
    expect(request?.headers["x-pgbackstop-signature"]).toBe(`sha256=${digest}`);
    expect(json()).toMatchObject({
      version: 1,
      event: "failure",
      ok: false,
      stanza: "main",
      unit: UNIT,
      unitFacts: { status: "50" },
    });
  });

  test("a name and a password in an address sign in", async () => {
    await report({ type: "webhook", url: `${web.origin.replace("://", "://me:s%40cret@")}/hook` });
    expect(web.requests[0]).toMatchObject({
      path: "/hook",
      headers: { authorization: `Basic ${Buffer.from("me:s@cret").toString("base64")}` },
    });
  });
});

describe("faults", () => {
  // claim: docs/commands.md: `notify` serves each target…
  test("are retried three times, with pauses, and reported without the address", async () => {
    web.planned.push({ status: 500 }, { status: 429 }, { status: 503, body: "cannot route /services/T/B/geheim" });
    const [delivery] = await report({ type: "slack", url: `${web.origin}/services/T/B/geheim` });
    expect(web.requests).toHaveLength(3);
    expect(sleeps).toEqual([1000, 2000]);
    expect(delivery?.error).toMatchObject({
      kind: "service",
      message: `${web.origin}/…: answer 503: cannot route ******`,
    });
  });

  // claim: docs/notifications.md: a service that asks for a pause gets it
  test("are retried after the pause that a service asks for: in its header, or as Discord and Telegram say it", async () => {
    const telegram = { ok: false, error_code: 429, description: "Too Many Requests", parameters: { retry_after: 4 } };
    web.planned.push(
      { status: 429, body: JSON.stringify({ message: "limited", retry_after: 1.5, global: false }) },
      { status: 429, body: JSON.stringify(telegram) },
      { status: 200 },
      { status: 503, headers: { "retry-after": "3" } },
    );
    const target = { type: "slack", url: `${web.origin}/services/x` };
    expect(await report(target)).toEqual([{ target: "slack", error: null }]);
    expect(await report(target)).toEqual([{ target: "slack", error: null }]);
    expect(sleeps).toEqual([1500, 4000, 3000]);
  });

  test("are not retried if the service wants no request for longer than a notice may take", async () => {
    web.planned.push({ status: 429, headers: { "retry-after": "60" }, body: "slow down" });
    const [delivery] = await report({ type: "slack", url: `${web.origin}/services/x` });
    expect(web.requests).toHaveLength(1);
    expect(delivery?.error?.message).toBe(
      `${web.origin}/…: answer 429, and no further request for 60 seconds: slow down`,
    );
  });

  const SIGNED = "/workflows/flow-f00/invoke?sp=%2Fmanual%2Frun&sig=sig%2Bnature%3D";
  // claim: docs/commands.md: `notify` serves each target…
  test.each([
    ["telegram", { botToken: TOKEN, chatId: "-1" }, "apiUrl", "", [TOKEN, `/bot${TOKEN}/x`, encodeURIComponent(TOKEN)]],
    ["discord", {}, "url", "/api/webhooks/1234/word?thread_id=5678", ["/webhooks/1234/word", "1234", "word", "5678"]],
    ["teams", {}, "url", SIGNED, [SIGNED, "flow-f00", "sig%2Bnature%3D", "sig+nature=", "/manual/run"]],
  ])(
    "%s: an answer that quotes a secret of the address is reported without it",
    async (type, more, field, path, secrets) => {
      for (const secret of secrets) {
        web.planned.push({ status: 400, body: `cannot POST '${secret}' ` });
        const [delivery] = await report({ type, ...more, [field]: `${web.origin}${path}` });
        expect(delivery?.error?.message).toMatch(/: answer 400: cannot POST '[^']*\*{6}[^']*'$/);
        expect(delivery?.error?.message).not.toContain(secret);
      }
    },
  );

  test("a refusal is not retried", async () => {
    web.planned.push({ status: 403, body: "invalid_token" });
    const [delivery] = await report({ type: "slack", url: `${web.origin}/services/x` });
    expect(web.requests).toHaveLength(1);
    expect(delivery?.error?.message).toContain("answer 403: invalid_token");
  });

  test("a redirect is not followed", async () => {
    web.planned.push({ status: 302, headers: { location: `${web.origin}/elsewhere` } });
    const [delivery] = await report({ type: "slack", url: `${web.origin}/services/x` });
    expect(web.requests.map(({ path }) => path)).toEqual(["/services/x"]);
    expect(delivery?.error?.message).toContain("answer 302");
  });

  test("a server that never answers is abandoned each time", async () => {
    web.planned.push("hang", "hang");
    expect(await report({ type: "slack", url: `${web.origin}/services/x` })).toEqual([
      { target: "slack", error: null },
    ]);
    expect(web.requests).toHaveLength(3);
  });

  // claim: docs/commands.md: `notify` serves each target separately, and no address or password reaches a log (the
  //   services are doubles with the documented behaviour; HTTP, TLS and SMTP are real)
  test("one target does not affect the others", async () => {
    const targets = parseTargets(
      JSON.stringify({
        targets: [
          { type: "slack", name: "dead", url: "http://127.0.0.1:1/x" },
          { type: "slack", url: `${web.origin}/x` },
        ],
      }),
      "notify.json",
      (text) => expect.fail(text),
    );
    const deliveries = await deliver(targets, notificationOf(FAILURE), { readFile: async () => null }, context());
    expect(deliveries.map(({ error, target }) => `${target} ${error?.kind ?? "ok"}`)).toEqual([
      "dead hostConnect",
      "slack ok",
    ]);
  });

  test("only targets with the event and the unit are notified; a test goes to each unit's target", async () => {
    const target = { type: "healthchecks", url: `${web.origin}/ping`, units: ["other.service"] };
    expect(await report(target)).toEqual([]);
    expect(await report(target, { event: "test" })).toHaveLength(1);
    expect(await report({ type: "slack", url: web.origin }, { event: "success" })).toEqual([]);
    expect(await report({ type: "slack", url: web.origin, events: ["success"] }, { event: "success" })).toHaveLength(1);
  });
});

describe("over TLS", () => {
  test("a configured authority counts besides the usual ones", () => {
    expect(usualAuthoritiesAnd("own")).toEqual([...rootCertificates, "own"]);
    expect(rootCertificates.length).toBeGreaterThan(50);
  });

  test("a server with a configured authority is trusted, another one is not", async () => {
    const files = await makeCertificates(`${temporaryFolder()}/c`);
    const secure = await startWebServer(files);
    try {
      const target = { type: "webhook", url: `${secure.origin}/hook`, caFile: files.caFile };
      expect(await report(target, {}, async () => readFileSync(files.caFile))).toEqual([
        { target: "webhook", error: null },
      ]);
      const [refused] = await report(target, {}, async () => readFileSync(files.otherCaFile));
      expect(refused?.error?.kind).toBe("hostConnect");
      expect(secure.requests).toHaveLength(1);
    } finally {
      await secure.close();
    }
  });
});

describe("email", () => {
  let files: CertificateFiles;
  let ca: Uint8Array;
  beforeEach(async () => {
    files = await makeCertificates(`${temporaryFolder()}/certificates`);
    ca = readFileSync(files.caFile);
  });

  async function mail(
    plan: Omit<SmtpPlan, "certificates">,
    more: object = {},
    input: Partial<NotificationInput> = {},
    authority = ca,
  ) {
    const server = await startSmtpServer({ ...plan, certificates: files });
    const target = {
      type: "email",
      host: "127.0.0.1",
      port: server.port,
      security: plan.security,
      from: "db1@example.org",
      to: ["ops@example.org", "boss@example.org"],
      caFile: "ca",
      ...more,
    };
    try {
      const [delivery] = await report(target, input, async () => authority);
      return { ...server, error: delivery?.error ?? null };
    } finally {
      await server.close();
    }
  }
  const LOGIN = { user: "me", password: "sesam-öffne-dich" };

  test("with STARTTLS and a password, to all recipients, in one letter", async () => {
    const { error, letters } = await mail({ security: "starttls", auth: "PLAIN" }, LOGIN);
    expect(error).toBeNull();
    expect(letters).toHaveLength(1);
    expect(letters[0]).toMatchObject({
      isEncrypted: true,
      login: "me:sesam-öffne-dich",
      from: "db1@example.org",
      to: ["ops@example.org", "boss@example.org"],
    });
    expect(letters[0]?.headers.get("Subject")).toBe(`${UNIT} failed on db1`);
    expect(letters[0]?.headers.get("Date")).toBe("Fri, 20 Nov 2026 06:40:59 +0000");
    expect(letters[0]?.text).toContain("result: exit-code, status 50 (LockAcquireError)\r\n");
  });

  test("with TLS from the start, and AUTH LOGIN", async () => {
    const { error, letters } = await mail({ security: "tls", auth: "LOGIN" }, LOGIN);
    expect(error).toBeNull();
    expect(letters[0]).toMatchObject({ isEncrypted: true, login: "me:sesam-öffne-dich" });
  });

  test("a host name with other characters is encoded in valid header words", async () => {
    const { letters } = await mail(
      { security: "none" },
      {},
      { host: "datenbänke-im-östlichen-rechenzentrum-hinter-den-sieben-bergen" },
    );
    const subject = letters[0]?.headers.get("Subject") ?? "";
    const args = subject.split(" ");
    expect(args.every((arg) => /^=\?utf-8\?B\?[A-Za-z0-9+/=]+\?=$/.test(arg) && arg.length <= 75)).toBe(true);
    const text = args.map((arg) => Buffer.from(arg.slice(10, -2), "base64").toString("utf8")).join("");
    expect(text).toContain("datenbänke-im-östlichen-rechenzentrum-hinter-den-sieben-bergen");
  });

  // claim: docs/notifications.md: a password is never sent unencrypted, even with an attacker on the route
  test("a server without STARTTLS never sees the password", async () => {
    const server = await startSmtpServer({ security: "none", auth: "PLAIN" });
    const target = { type: "email", host: "127.0.0.1", port: server.port, from: "a@b", to: ["c@d"], ...LOGIN };
    const [delivery] = await report(target);
    await server.close();
    expect(delivery?.error?.message).toContain("does not offer STARTTLS");
    expect(server.commands).toEqual(["EHLO"]);
  });

  // claim: docs/notifications.md: a password is never…
  test("bytes after the reply to STARTTLS end the connection", async () => {
    const { error, letters } = await mail(
      { security: "starttls", behindStartTls: "250-injected\r\n250 AUTH PLAIN\r\n" },
      LOGIN,
    );
    expect(error?.kind).toBe("protocol");
    expect(letters).toHaveLength(0);
  });

  // claim: docs/notifications.md: a password is never…
  test("another authority's certificate is refused before the password is sent", async () => {
    const { commands, error } = await mail(
      { security: "starttls", auth: "PLAIN" },
      LOGIN,
      {},
      readFileSync(files.otherCaFile),
    );
    expect(error?.kind).toBe("hostConnect");
    expect(commands).not.toContain("AUTH");
  });

  // claim: docs/commands.md: `notify` serves each target…
  test("a wrong password is reported by its code, without the password, and not retried", async () => {
    const { commands, error } = await mail({ security: "tls", auth: "PLAIN", password: "another" }, LOGIN);
    expect(error).toMatchObject({ kind: "access" });
    expect(error?.message).toContain("535 5.7.8 wrong password");
    expect(error?.message).not.toContain("sesam");
    expect(commands.filter((command) => command === "AUTH")).toHaveLength(1);
  });

  test("a busy server gets the letter at the next attempt", async () => {
    const busy = ["RCPT", "450 try later"] as const;
    const { error, letters } = await mail({ security: "none", refusals: [busy, busy] });
    expect(error).toBeNull();
    expect(letters).toHaveLength(1);
  });

  // claim: docs/notifications.md: each recipient of an e-mail gets it once, whichever others the server refuses
  test("a refused recipient costs the others nothing, and is reported", async () => {
    const gone = ["RCPT TO:<boss@", "550 5.1.1 no such user"] as const;
    const { commands, error, letters } = await mail({ security: "none", refusals: [gone] });
    expect(letters.map(({ to }) => to)).toEqual([["ops@example.org"]]);
    expect(letters[0]?.headers.get("To")).toBe("<ops@example.org>, <boss@example.org>");
    expect(error?.message).toMatch(
      /: 1 of 2 recipients lack it: boss@example\.org: the server answered 550 5\.1\.1 no such user$/,
    );
    expect(commands.filter((command) => command === "EHLO")).toHaveLength(1);
  });

  // claim: docs/notifications.md: each recipient of…
  test("one that is refused for now is asked again, alone", async () => {
    const full = ["RCPT TO:<ops@", "452 4.2.2 mailbox full"] as const;
    const to = ["ops@example.org", "boss@example.org", "gone@example.org"];
    const gone = ["RCPT TO:<gone@", "550 5.1.1 no such user"] as const;
    const mended = await mail({ security: "none", refusals: [full, gone] }, { to });
    expect(mended.letters.map((letter) => letter.to)).toEqual([["boss@example.org"], ["ops@example.org"]]);
    expect(mended.error?.message).toMatch(/: 1 of 3 recipients lack it: gone@/);
    const lasting = await mail({ security: "none", refusals: [full, full, full] }, { to });
    expect(lasting.letters.map((letter) => letter.to)).toEqual([["boss@example.org", "gone@example.org"]]);
    expect(lasting.error?.message).toMatch(/: 1 of 3 recipients lack it: ops@.*452 4\.2\.2 mailbox full$/);
  });

  test("a letter that no recipient takes is not sent", async () => {
    const refused = ["RCPT", "550 5.7.1 relaying denied"] as const;
    const { commands, error } = await mail({ security: "none", refusals: [refused, refused] });
    expect(error?.message).toContain("2 of 2 recipients lack it: ops@");
    expect(commands).not.toContain("DATA");
  });

  test("an unsupported login is reported", async () => {
    expect((await mail({ security: "tls", auth: "NTLM" }, LOGIN)).error?.message).toContain(
      "offers no AUTH PLAIN or LOGIN",
    );
  });
});

test("a drill reports its result", () => {
  const drill = {
    ok: false,
    title: "fire drill of repo2 failed",
    lines: ["failed: amcheck, DbQueryError (57)"],
    repo: 2,
  };
  const reported: Notification = notificationOf({ ...FAILURE, event: "drill", drill });
  expect(reported).toMatchObject({
    ok: false,
    title: "fire drill of repo2 failed on db1",
    lines: ["stanza: main", "failed: amcheck, DbQueryError (57)"],
  });
});
