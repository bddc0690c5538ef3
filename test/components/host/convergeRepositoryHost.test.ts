/** sshd's answers about the accounts of a backup host; test/hosts has a real sshd. */
import { expect, test } from "vitest";
import { effectiveOf } from "../../../components/host/convergeRepositoryHost";

const CONFINED = "chrootdirectory /srv/db|forcecommand internal-sftp -R|permittty no|disableforwarding yes|";
const line = (lists: readonly string[] = [], groups = "pgb-db"): string =>
  `${lists.map((each) => `${each}|`).join("")}${CONFINED}groups ${groups}`;

test.each<[string, string[]]>([
  ["no list", []],
  ["its name in a list", ["allowusers deploy", "allowusers pgb-db"]],
  ["its name among others of one line", ["allowusers deploy pgb-db"]],
  ["a pattern", ["allowusers pgb-*"]],
  ["its name from some hosts", ["allowusers pgb-db@10.0.0.?"]],
  ["a group of it", ["allowgroups wheel", "allowgroups pgb-d?"]],
  ["both lists", ["allowusers pgb-db", "allowgroups pgb-db"]],
])("an account is confined with %s", (_name, lists) => {
  expect(effectiveOf("pgb-db", line(lists))).toBe("/srv/db internal-sftp -R no yes");
});

test.each<[string, string]>([
  ["other accounts only", line(["allowusers deploy", "allowusers pgb.db"])],
  ["other groups only", line(["allowusers pgb-db", "allowgroups wheel"])],
  ["no root", line().replace("chrootdirectory /srv/db", "chrootdirectory none")],
  ["another command", line().replace("internal-sftp -R", "none")],
])("with %s the line is shown as it is", (_name, text) => {
  expect(effectiveOf("pgb-db", text)).toBe(text);
});

test("other flags differ from the confinement", () => {
  const loose = line().replace("permittty no", "permittty yes");
  expect(effectiveOf("pgb-db", loose)).toBe("/srv/db internal-sftp -R yes yes");
});
