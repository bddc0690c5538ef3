/** `repo-ls [PATH]` and `repo-get FILE`: read a repository of any storage type, by default the first one. */
import { fail, isError } from "../../base/errors";
import { type JsonValue, renderJson } from "../../format/repository/json";
import { listFiles, type ListedFile, openRepoFile, repoPathOf } from "../../operations/shared/repoFiles";
import type { Repository } from "../../repository/repository";
import type { Command, Invocation, RepositoryAccess } from "../../process/commandProcess";

export const repoLsCommand: Command = async (proc) => {
  const { config } = proc;
  if (config.params.length > 1) throw fail("paramInvalid", "only one path may be specified");
  const { repo, basePath } = firstRepo(proc);
  const path = repoPathOf(config.params[0] ?? "", basePath);
  const files = await listFiles(repo, path, {
    filter: filterOf(config.files.filter),
    recurse: config.files.recurse,
    sort: config.files.sort,
  });
  if (config.output === "json") {
    proc.print(`${renderJson(Object.fromEntries(files.map((file) => [file.name, fileJson(file)])))}\n`);
    return 0;
  }
  // A listing omits the directory itself, but not a file that the path names.
  const named = files.filter((file) => file.name !== "." || file.type === "file");
  proc.print(named.map((file) => `${file.name}\n`).join(""));
  return 0;
};

export const repoGetCommand: Command = async (proc) => {
  const { config } = proc;
  const [path] = config.params;
  if (path === undefined || config.params.length > 1) throw fail("paramRequired", "source file required");
  const { repo, basePath } = firstRepo(proc);
  try {
    for await (const chunk of await openRepoFile(repo, repoPathOf(path, basePath), config.files.raw))
      await proc.printBytes(chunk);
    return 0;
  } catch (error) {
    if (config.files.ignoreMissing && isError(error, "fileMissing")) return 1;
    throw error;
  }
};

function firstRepo(proc: Invocation & RepositoryAccess): { readonly repo: Repository; readonly basePath: string } {
  const [repo] = proc.repositories();
  const settings = proc.config.repos.find((candidate) => candidate.key === repo?.key);
  if (repo === undefined || settings === undefined)
    throw fail("optionRequired", `${proc.config.command} command requires option: repo1-path`);
  return { repo, basePath: settings.path };
}

function filterOf(text: string | undefined): RegExp | null {
  if (text === undefined) return null;
  try {
    return new RegExp(text);
  } catch {
    throw fail("optionInvalidValue", `'${text}' is not a valid regular expression for 'filter' option`);
  }
}

function fileJson(file: ListedFile): JsonValue {
  if (file.type === "file") return { type: "file", size: file.sizeBytes, time: Math.floor(file.modifiedAtMs / 1000) };
  if (file.type === "directory") return { type: "path" };
  return { type: "link", ...(file.destination === undefined ? {} : { destination: file.destination }) };
}
