// claim: docs/hosts/updates.md: a bare host gets…
import { expect, test } from "vitest";
import { distributionOf, sourceOf } from "../../../components/host/distribution";

/** The distributions' own /etc/os-release. */
const RELEASES = {
  bookworm:
    'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nVERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n',
  trixie:
    'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nDEBIAN_VERSION_FULL=13.1\nID=debian\n',
  jammy:
    'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=jammy\n',
  noble: 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n',
  sid: 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nVERSION_CODENAME=forky\nID=debian\n',
  mint: "PRETTY_NAME='Linux Mint 22'\nVERSION_ID='22'\nVERSION_CODENAME=wilma\nID=linuxmint\nID_LIKE='ubuntu debian'\n",
};

test("a distribution is recognised by its own fields", () => {
  expect(distributionOf(RELEASES.jammy)).toEqual({
    id: "ubuntu",
    version: "22.04",
    codename: "jammy",
    title: "Ubuntu 22.04.5 LTS",
  });
  expect(distributionOf(RELEASES.mint)).toEqual({
    id: "linuxmint",
    version: "22",
    codename: "wilma",
    title: "Linux Mint 22",
  });
  expect(distributionOf("")).toEqual({ id: "", version: "", codename: "", title: "an unknown system" });
});

test.each<[keyof typeof RELEASES, number]>([
  ["bookworm", 15],
  ["trixie", 17],
  ["jammy", 14],
  ["noble", 16],
])("%s has PostgreSQL %i itself, and others from PostgreSQL's own archive", (name, own) => {
  const distribution = distributionOf(RELEASES[name]);
  for (let major = 14; major <= 18; major += 1)
    expect(sourceOf(distribution, major, "db")).toBe(major === own ? "distribution" : "pgdg");
  expect(() => sourceOf(distribution, 9, "db")).toThrow(`its archive has ${own}, apt.postgresql.org has 14 to 18`);
  expect(() => sourceOf(distribution, 19, "db")).toThrow(
    "install another version yourself and leave postgres.install out",
  );
});

test.each(["sid", "mint"] as const)("%s is refused with the supported ones", (name) => {
  const distribution = distributionOf(RELEASES[name]);
  expect(() => sourceOf(distribution, 17, "db")).toThrow(
    `pgbackstop does not install PostgreSQL on ${distribution.title} (db): Debian 12 and 13 and Ubuntu 22.04 and 24.04 are supported; install PostgreSQL 17`,
  );
});
