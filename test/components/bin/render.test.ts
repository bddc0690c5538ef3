/** Files of `pgbackstop render` as people copy and mistype them: each mistake is reported, with an exit code. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { renderMain } from "../../../components/bin/render";
import { temporaryFolder } from "../../runtime/repository/support";
import { captureTexts } from "./shownTexts";

let folder: string;
const { errors } = captureTexts();
beforeEach(() => {
  folder = temporaryFolder();
});

/** The exit code and what stderr shows. */
function rendered(text: string, ...options: readonly string[]): string {
  const file = join(folder, "backups.yaml");
  writeFileSync(file, text);
  const code = renderMain(["--without-runtime", ...options, file]);
  return `${code} ${errors.join("").replaceAll(file, "FILE")}`;
}

test.each([
  ["nothing", "\n", "2 pgbackstop render: FILE is empty: write clusters, "],
  ["text", "hello", "2 pgbackstop render: FILE has no sections: write clusters, "],
  ["a list", "- a", "2 pgbackstop render: FILE has no sections"],
  ["half of a file", '{"clusters":', "2 pgbackstop render: unable to read FILE: unexpected end"],
  ["tabs", "clusters:\n\torders: {}\n", "2 pgbackstop render: unable to read FILE: tab characters"],
  ["a key twice", "clusters:\n  a: {}\n  a: {}\n", "2 pgbackstop render: unable to read FILE: duplicated mapping key"],
  [
    "an object of Kubernetes",
    "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\n",
    "2 pgbackstop render: FILE is a Cluster of Kubernetes: render makes such objects from arguments",
  ],
  [
    "a section in itself",
    "clusters:\n  a: &a\n    spec: *a\n",
    "2 pgbackstop render: unable to read FILE: a section contains itself by an alias",
  ],
  ["a thousand lists in each other", "[".repeat(20_000), "2 pgbackstop render: "],
  ["hosts for the other format", "hosts: { a: {} }", "2 pgbackstop render: FILE has hosts only: render them by"],
  [
    "a typo in a section's name",
    "cluster: {}",
    "1 error: PB190 cluster: the file has no field 'cluster'; did you mean clusters?",
  ],
  [
    "a list of clusters",
    "clusters:\n  - namespace: db\n",
    "1 error: PB191 clusters: it is a list, and must be a section with names; write a name instead of each dash",
  ],
  [
    "text for a list",
    "flux: { variables: X }",
    '1 error: PB191 flux.variables: it is the text "X", and must be a list',
  ],
  [
    "a word of YAML 1.1",
    "plugin: { certManager: yes }",
    '1 error: PB191 plugin.certManager: it is the text "yes", and must be true or false; write true without quotes',
  ],
  [
    "digits in groups",
    "clusters: { a: { namespace: db, storageGiB: 1 000 } }",
    '1 error: PB191 clusters.a.storageGiB: it is the text "1 000", and must be a number; write 1000 without quotes',
  ],
  [
    "no number",
    "clusters: { a: { namespace: db, storageGiB: .nan } }",
    "1 error: PB191 clusters.a.storageGiB: it is NaN, and must be a number",
  ],
  [
    "what only a program has",
    "clusters: { a: { namespace: db, storageGiB: 1, runtimeDelivery: plugin } }",
    "1 error: PB190 clusters.a.runtimeDelivery: only a program has it; leave it out\n",
  ],
  [
    "a name of a repository beside its key",
    "clusters: { a: { namespace: db, storageGiB: 1, repositories: { repo1: { at: { name: x, path: /x } } } } }",
    "1 error: PB190 clusters.a.repositories.repo1.at.name: only a program has it",
  ],
])("%s is refused in words", (_what, text, expected) => {
  expect(rendered(text)).toContain(expected);
});

test.each([
  ["a list of hosts", "hosts: [a]", "1 error: PB191 hosts: it is a list, and must be a section with names"],
  ["text", "hosts: text", '1 error: PB191 hosts: it is the text "text"'],
  ["an empty host", "hosts:\n  a:\n", "1 error: PB191 hosts.a: it is empty"],
  ["no host", "clusters: {}", "2 pgbackstop render: --host=NAME takes one of the file's hosts: it has none"],
  [
    "a connection",
    "hosts: { a: { dataDirectory: /d, connection: { local: {} } } }",
    "1 error: PB190 hosts.a.connection: only a program has it",
  ],
  [
    "a section for text",
    "hosts: { a: { dataDirectory: /d, secretsDirectory: {} } }",
    "1 error: PB191 hosts.a.secretsDirectory: it is a section, and must be text",
  ],
  [
    "text for true",
    "hosts: { a: { dataDirectory: /d, repositories: { repo1: { at: { path: /b, encrypted: off } } } } }",
    '1 error: PB191 hosts.a.repositories.repo1.at.encrypted: it is the text "off", and must be true or false; write false',
  ],
])("for a host, %s is refused in words", (_what, text, expected) => {
  expect(rendered(text, "--format=nixos")).toContain(expected);
});

test("aliases are merged, and a date is text", () => {
  const s3 = "{ bucket: pg-orders, endpoint: s3.example.net, region: r, existingSecret: { name: k } }";
  const repositories = `repo1: &r { at: { path: /a, s3: ${s3} }, keepDays: 7 }, repo2: { <<: *r, keepDays: 0 }`;
  const text = `clusters: { a: { namespace: 2026-01-02, storageGiB: 1, repositories: { ${repositories} } } }`;
  expect(rendered(text)).toContain("repo2.keepDays: 0 is outside 1 to");
  expect(errors.join("")).toContain('repo2.at: "s3://pg-orders/a" is also the location of repo1');
  expect(errors.join("")).not.toContain("namespace");
});
