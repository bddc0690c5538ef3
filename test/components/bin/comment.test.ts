/** Comments of pull requests and merge requests, at a double of the forges' APIs. */
// claim: docs/ci.md: what each kind of…
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { commitOf, ForgeError, openForge, putComment } from "../../../components/bin/comment";
import { UsageError } from "../../../components/bin/command";
import { commentMark } from "../../../components/render/topology/topologyMarkdown";
import { ForgeDouble, type ForgeOptions } from "../../harness/doubles/forgeDouble";
import { temporaryFolder } from "../../runtime/repository/support";

const TOKEN = "planted-token";
const [PROD, TEST] = [commentMark("shop/prod"), commentMark("shop/prod2")];
const STRANGER = { id: 66, type: "User" } as const;

let double: ForgeDouble | undefined;
afterEach(() => double?.stop());

async function start(kind: ForgeOptions["kind"], more: Partial<ForgeOptions> = {}): Promise<ForgeDouble> {
  double = await ForgeDouble.start({ kind, token: TOKEN, ...more });
  return double;
}

const put = async (forge: ForgeDouble, mark: string, text: string, token = TOKEN): Promise<string> => {
  const kind = "GITHUB_REPOSITORY" in forge.environment() ? "github" : "gitlab";
  const env = { ...forge.environment(), [kind === "github" ? "GITHUB_TOKEN" : "GITLAB_TOKEN"]: token };
  return putComment(openForge(kind, kind === "github" ? "7" : undefined, env), mark, `${mark}\n${text}`);
};

describe.each(["github", "gitlab"] as const)("at %s", (kind) => {
  test("each stack has one comment, which is updated in place", async () => {
    const forge = await start(kind, { self: { id: 5, type: "User" } });
    expect(await put(forge, PROD, "first")).toBe("created");
    expect(await put(forge, TEST, "other stack")).toBe("created");
    expect(await put(forge, PROD, "second")).toBe("updated");
    expect(forge.comments.map(({ body }) => body)).toEqual([`${PROD}\nsecond`, `${TEST}\nother stack`]);
  });

  test("the comment is found on a later page, and doubles of it are removed", async () => {
    const forge = await start(kind, { pageSizeMax: 10, self: { id: 5, type: "User" } });
    for (let index = 0; index < 34; index += 1) forge.add("talk", STRANGER);
    const first = forge.add(`${PROD}\nold`);
    forge.add(`${PROD}\nanother job at the same time`);
    expect(await put(forge, PROD, "new")).toBe("updated");
    expect(forge.comments.filter(({ body }) => body !== "talk")).toEqual([{ ...first, body: `${PROD}\nnew` }]);
    expect(forge.requests.filter((line) => line.includes("per_page=100"))).toHaveLength(4);
  });

  test("a comment of another author is never changed", async () => {
    const forge = await start(kind, { self: { id: 5, type: "User" } });
    forge.add(`${PROD}\nplanted`, STRANGER);
    expect(await put(forge, PROD, "real")).toBe("created");
    expect(forge.comments.map(({ body }) => body)).toEqual([`${PROD}\nplanted`, `${PROD}\nreal`]);
  });

  test("a refused request is an error with its remedy, without the token", async () => {
    const forge = await start(kind);
    const refused = await put(forge, PROD, "text", "wrong").catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ForgeError);
    expect(String(refused)).toMatch(/the answer is 401: the token may not write comments/);
    expect(String(refused)).not.toMatch(/planted-token|wrong/);
    forge.failure = 502;
    await expect(put(forge, PROD, "text")).rejects.toThrow(/the answer is 502/);
    await forge.stop();
    double = undefined;
    await expect(put(forge, PROD, "text")).rejects.toThrow(ForgeError);
  });
});

test("a forge that stops in the middle of its answer is an error of the forge", async () => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("{", () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const env = {
    GITHUB_API_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    GITHUB_REPOSITORY: "acme/shop",
    GITHUB_TOKEN: TOKEN,
  };
  await expect(putComment(openForge("github", "7", env), PROD, "text")).rejects.toThrow(ForgeError);
});

test("the token never goes to another host", async () => {
  const forge = await start("github", { pageSizeMax: 1, nextOrigin: "https://evil.example" });
  forge.add("one", STRANGER);
  forge.add("two", STRANGER);
  await expect(put(forge, PROD, "text")).rejects.toThrow("is on another host: https://evil.example/");
  expect(forge.comments).toHaveLength(2);
});

test("the token of an app changes comments of bots only", async () => {
  const forge = await start("github");
  forge.add(`${PROD}\nplanted`, STRANGER);
  forge.add(`${PROD}\nown`, { id: 1, type: "Bot" });
  expect(await put(forge, PROD, "new")).toBe("updated");
  expect(forge.comments.map(({ body }) => body)).toEqual([`${PROD}\nplanted`, `${PROD}\nnew`]);
});

test("the number and the commit are those of the job's pull request", () => {
  const event = join(temporaryFolder(), "event.json");
  writeFileSync(event, JSON.stringify({ pull_request: { number: 7, head: { sha: "abc1234" } } }));
  const env = { GITHUB_REPOSITORY: "acme/shop", GITHUB_TOKEN: TOKEN, GITHUB_EVENT_PATH: event, GITHUB_SHA: "merge" };
  expect(openForge("github", undefined, env).commentsUrl).toBe(
    "https://api.github.com/repos/acme/shop/issues/7/comments",
  );
  expect([commitOf("github", env), commitOf("gitlab", { CI_COMMIT_SHA: "def" })]).toEqual(["abc1234", "def"]);
});

test.each([
  ["github", undefined, { GITHUB_REPOSITORY: "a/b", GITHUB_TOKEN: "x" }, "this job belongs to no pull request"],
  ["github", "7", { GITHUB_REPOSITORY: "a/b" }, "set the environment variable GITHUB_TOKEN"],
  ["github", "7", { GITHUB_REPOSITORY: "../x", GITHUB_TOKEN: "x" }, "GITHUB_REPOSITORY takes owner/name"],
  ["github", "7/../8", { GITHUB_REPOSITORY: "a/b", GITHUB_TOKEN: "x" }, "--pull-request takes a number"],
  ["gitlab", "7", { CI_PROJECT_ID: "3", GITLAB_TOKEN: "x" }, "set the environment variable CI_API_V4_URL"],
] as const)("a job of %s without its variables is a usage error: %s %j", (kind, number, env, message) => {
  expect(() => openForge(kind, number, env)).toThrow(UsageError);
  expect(() => openForge(kind, number, env)).toThrow(message);
});
