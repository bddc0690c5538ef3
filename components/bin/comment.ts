/**
 * Keeps one comment of a pull request or merge request up to date: finds it by its first line, which names the stack.
 *
 * The token comes from the environment and goes into one header, to the forge's own address only. A comment of another
 * author is never changed, even with the same first line.
 */
import { readFileSync } from "node:fs";
import { type Fields, isFields } from "../plan/model/anyValue";
import { UsageError } from "./command";

export const FORGES = ["github", "gitlab"] as const;
export type ForgeName = (typeof FORGES)[number];

/** The forge refused a request, or did not answer. */
export class ForgeError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where the comments of one request are. */
export interface Forge {
  /** Headers of the API, with the token. */
  readonly headers: Readonly<Record<string, string>>;
  readonly userUrl: string;
  /** Lists with GET, creates with POST. */
  readonly commentsUrl: string;
  /** Updates and deletes. */
  urlOf(id: number): string;
  readonly updateMethod: "PATCH" | "PUT";
  /** The token's own comments. `self` is null if the token belongs to an app. */
  isOwn(comment: Fields, self: Fields | null): boolean;
}

const TIMEOUT_MS = 30_000;
const PAGE_SIZE = 100;
/** Maximum number of pages of a hundred comments each. */
const PAGES_MAX = 100;

/** @param number of the pull request; absent takes it from the job's variables @throws UsageError */
export function openForge(name: ForgeName, number: string | undefined, env: Environment): Forge {
  return name === "github" ? openGithub(number, env) : openGitlab(number, env);
}

/**
 * Creates the comment or replaces its text, and removes doubles of it. Returns what it did.
 * @param mark first line of the text
 * @throws ForgeError
 */
export async function putComment(forge: Forge, mark: string, text: string): Promise<"created" | "updated"> {
  const self = await findSelf(forge);
  const own = (await listComments(forge)).filter(
    (comment) => typeof comment["body"] === "string" && isMarked(comment["body"], mark) && forge.isOwn(comment, self),
  );
  const [first, ...doubles] = own.map(({ id }) => Number(id)).sort((left, right) => left - right);
  if (first === undefined) {
    await request(forge, "POST", forge.commentsUrl, { body: text });
    return "created";
  }
  await request(forge, forge.updateMethod, forge.urlOf(first), { body: text });
  // Two jobs at once can each create one: an old all-clear must not stand.
  for (const id of doubles) await request(forge, "DELETE", forge.urlOf(id));
  return "updated";
}

/** The commit that the comment is about, if the job's variables have it. */
export function commitOf(name: ForgeName, env: Environment): string | undefined {
  if (name === "gitlab") return env["CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"] || env["CI_COMMIT_SHA"];
  const head = fieldsIn(fieldsIn(readEvent(env)["pull_request"])["head"])["sha"];
  return typeof head === "string" ? head : env["GITHUB_SHA"];
}

/** REST API of GitHub, version 2022-11-28. */
function openGithub(number: string | undefined, env: Environment): Forge {
  const api = apiUrl(env["GITHUB_API_URL"] ?? "https://api.github.com", "GITHUB_API_URL");
  const repository = variable(env, "GITHUB_REPOSITORY", "owner/name");
  if (!/^[A-Za-z0-9][\w-]*\/(?!\.{1,2}$)[\w.-]+$/.test(repository))
    throw new UsageError(`GITHUB_REPOSITORY takes owner/name, found '${repository}'`);
  const event = fieldsIn(readEvent(env)["pull_request"])["number"];
  const issue = checkedNumber(number ?? (typeof event === "number" ? String(event) : undefined));
  const base = `${api}/repos/${repository}/issues`;
  return {
    headers: {
      accept: "application/vnd.github+json",
      authorization: `Bearer ${env["GITHUB_TOKEN"] || env["GH_TOKEN"] || variable(env, "GITHUB_TOKEN", "a token")}`,
      "x-github-api-version": "2022-11-28",
    },
    userUrl: `${api}/user`,
    commentsUrl: `${base}/${issue}/comments`,
    urlOf: (id) => `${base}/comments/${id}`,
    updateMethod: "PATCH",
    isOwn: (comment, self) => {
      const author = fieldsIn(comment["user"]);
      return self === null ? author["type"] === "Bot" : author["id"] === self["id"];
    },
  };
}

/** REST API of GitLab, version 4. */
function openGitlab(number: string | undefined, env: Environment): Forge {
  const api = apiUrl(variable(env, "CI_API_V4_URL", "the API's address"), "CI_API_V4_URL");
  const project = env["CI_MERGE_REQUEST_PROJECT_ID"] || variable(env, "CI_PROJECT_ID", "the project's number");
  const issue = checkedNumber(number ?? env["CI_MERGE_REQUEST_IID"]);
  const notes = `${api}/projects/${encodeURIComponent(project)}/merge_requests/${issue}/notes`;
  return {
    headers: { "private-token": variable(env, "GITLAB_TOKEN", "a token with scope api") },
    userUrl: `${api}/user`,
    commentsUrl: notes,
    urlOf: (id) => `${notes}/${id}`,
    updateMethod: "PUT",
    isOwn: (note, self) => self !== null && fieldsIn(note["author"])["id"] === self["id"],
  };
}

/** Null for a token of an app, which is no user: GitHub answers 403. */
async function findSelf(forge: Forge): Promise<Fields | null> {
  const answer = await send(forge, "GET", forge.userUrl);
  if (answer.status === 403) return null;
  return fieldsIn(bodyOf(answer, "GET", forge.userUrl));
}

async function listComments(forge: Forge): Promise<Fields[]> {
  const comments: Fields[] = [];
  let url: string | null = `${forge.commentsUrl}?per_page=${PAGE_SIZE}`;
  for (let page = 0; url !== null; page += 1) {
    if (page === PAGES_MAX) throw new ForgeError(`there are more than ${PAGES_MAX * PAGE_SIZE} comments`);
    const answer: Answer = await send(forge, "GET", url);
    const items = bodyOf(answer, "GET", url);
    if (!Array.isArray(items)) throw new ForgeError(`GET ${url}: the answer is not a list`);
    comments.push(...items.map(fieldsIn));
    url = nextUrl(answer.headers.get("link"), url);
  }
  return comments;
}

/** RFC 8288. @throws ForgeError for another host, which must not get the token */
function nextUrl(link: string | null, from: string): string | null {
  const next = /<([^>]*)>;[^,]*\brel="?next"?/.exec(link ?? "")?.[1];
  if (next === undefined) return null;
  if (new URL(next, from).origin !== new URL(from).origin)
    throw new ForgeError(`the next page of ${from} is on another host: ${next}`);
  return new URL(next, from).href;
}

async function request(forge: Forge, method: string, url: string, body?: object): Promise<void> {
  bodyOf(await send(forge, method, url, body), method, url);
}

interface Answer extends Pick<Response, "headers" | "ok" | "status"> {
  readonly text: string;
}

/** With the whole body: a forge may also stop in the middle of it. */
async function send({ headers }: Forge, method: string, url: string, body?: object): Promise<Answer> {
  try {
    const answer = await fetch(url, {
      method,
      headers: {
        ...headers,
        "user-agent": "pgbackstop",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      // A redirect could take the token to another host.
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const { ok, status } = answer;
    return { headers: answer.headers, ok, status, text: await answer.text() };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
    throw new ForgeError(`${method} ${url}: ${error instanceof Error ? error.message : String(error)}${cause}`);
  }
}

/** @throws ForgeError with the remedy of known refusals */
function bodyOf(answer: Answer, method: string, url: string): unknown {
  const { text } = answer;
  if (!answer.ok) {
    const remedy =
      answer.status === 401 || answer.status === 403
        ? ": the token may not write comments; GitHub needs pull-requests: write (a fork's job never has it), GitLab scope api"
        : answer.status === 404
          ? ": the request does not exist, or the token may not see it"
          : "";
    throw new ForgeError(`${method} ${url}: the answer is ${answer.status}${remedy}`);
  }
  if (text === "") return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ForgeError(`${method} ${url}: the answer is not JSON`);
  }
}

function isMarked(body: string, mark: string): boolean {
  return body === mark || body.startsWith(`${mark}\n`) || body.startsWith(`${mark}\r\n`);
}

function readEvent(env: Environment): Fields {
  const path = env["GITHUB_EVENT_PATH"];
  if (path === undefined || path === "") return {};
  try {
    return fieldsIn(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new UsageError(`unable to read GITHUB_EVENT_PATH: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function apiUrl(text: string, name: string): string {
  if (!URL.canParse(text)) throw new UsageError(`${name} is no address: '${text}'`);
  return text.replace(/\/+$/, "");
}

function checkedNumber(text: string | undefined): string {
  if (text === undefined || text === "")
    throw new UsageError("this job belongs to no pull request: name it with --pull-request=NUMBER");
  if (!/^[1-9][0-9]*$/.test(text)) throw new UsageError(`--pull-request takes a number, found '${text}'`);
  return text;
}

function variable(env: Environment, name: string, what: string): string {
  const value = env[name];
  if (value === undefined || value === "") throw new UsageError(`set the environment variable ${name} to ${what}`);
  return value;
}

function fieldsIn(value: unknown): Fields {
  return isFields(value) ? value : {};
}
