/**
 * A passphrase that is about to be generated for a repository which the stack has already: its component was renamed
 * without an alias. Databases would get another passphrase than their backups have, before the engine refuses to delete
 * the previous one.
 */
import * as pulumi from "@pulumi/pulumi";
import { resourceType } from "../dynamic/dynamicResource";
import { childName } from "../internal/children";
import { type EarlierResource, knownSoon, refusedIf } from "../internal/earlierState";
import { changesOf, perProgram, watched } from "../internal/hooks";
import type { RepositoryTarget } from "../repositories/target";

const REPOSITORY = /^pgbackstop:index:\w+Repository$/;

/** Passphrases that a program declares, by the names of their resources. */
const declaredPassphrases = perProgram(() => new Set<string>());
/** Repositories that are encrypted with a passphrase. */
const uses = new WeakMap<object, Use[]>();

interface Use {
  readonly location: pulumi.Output<string>;
  readonly urn: pulumi.Output<string>;
}

/** Inputs of repositories' components that decide their locations. */
const LOCATION_INPUTS = ["bucket", "container", "endpoint", "host", "path", "user"];

/** Repositories that this update makes or moves. */
const moved = changesOf("is a repository new", LOCATION_INPUTS);

/** Options of a repository's component, and a record of the passphrase that it uses. */
export function watchLocation(opts: pulumi.ComponentResourceOptions | undefined): {
  readonly opts: pulumi.ComponentResourceOptions | undefined;
  record(target: RepositoryTarget, location: pulumi.Output<string>, repository: pulumi.Resource): void;
} {
  return {
    opts: watched(opts, moved),
    record: ({ cipher }, location, { urn }) => {
      if (!pulumi.Output.isInstance(cipher?.passphrase)) return;
      uses.set(cipher.passphrase, [...(uses.get(cipher.passphrase) ?? []), { location, urn }]);
    },
  };
}

/**
 * Options of a CipherPassphrase that is refused if it is new and encrypts a repository that the stack has, while the
 * program lacks a previous passphrase of the stack. What a program declares later, in a callback, does not count.
 * @param title of the component
 * @param child name of the dynamic resource
 * @param passphrase as repositories get it
 */
export function refusedIfRenamed(
  title: string,
  child: string,
  opts: pulumi.ComponentResourceOptions | undefined,
  passphrase: () => pulumi.Output<string>,
): pulumi.ComponentResourceOptions | undefined {
  const names = declaredPassphrases().add(child);
  return refusedIf(title, opts, async (earlier) => {
    const passphraseType = resourceType("Passphrase");
    const missing = earlier.filter(({ name, type }) => type === passphraseType && !names.has(name));
    if (missing.length === 0) return null;
    const own = await Promise.all((uses.get(passphrase()) ?? []).map(earlierLocation));
    const known = earlier.filter(({ type }) => REPOSITORY.test(type)).map(({ outputs }) => outputs["location"]);
    const location = own.find((each) => each !== null && known.includes(each));
    return location === undefined || location === null ? null : refusal(title, location, missing);
  });
}

function refusal(title: string, location: string, missing: readonly EarlierResource[]): string {
  const aliases = missing.map((each) => `{ aliases: [{ name: "${formerName(each)}" }] }`);
  return (
    `${title} would be a new passphrase for ${location}, which this stack has already: if it was renamed, ` +
    `add the option ${aliases.join(" or ")}. A new passphrase needs a new repository, under another key at a new path`
  );
}

/** Name of the component in the earlier program: a repository with `encrypt` makes its passphrase itself. */
function formerName({ name, types }: EarlierResource): string {
  const own = types.split("$").some((type) => REPOSITORY.test(type)) ? childName("", "cipher") : "";
  const ending = `${own}${childName("", "passphrase")}`;
  return name.endsWith(ending) ? name.slice(0, -ending.length) : name;
}

/** Null for a repository that this update makes or moves. */
function earlierLocation({ location, urn }: Use): Promise<string | null> {
  const { urns } = moved();
  return knownSoon(pulumi.all([location, urn]).apply(([known, own]) => (urns.has(own) ? null : known)));
}
