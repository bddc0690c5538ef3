/**
 * Values of arguments that come later: finds the inputs among a component's arguments by its public types, and runs a
 * program with each of them plain, deferred, or unknown in a preview.
 */
import * as pulumi from "@pulumi/pulumi";
import { isUnknown, unknown } from "@pulumi/pulumi/output";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { type GivenInputs, readInputs } from "../../components/dynamic/host";
import * as fc from "../harness/properties";
import { wholeFiles } from "../../components/host/briefFiles";
import { publicTypes } from "../../tools/docs/componentsPage";
import { NIGHTLY } from "../../tools/parts/nightly";
import { UNKNOWN } from "../harness/doubles/providerValues";

/** The two keys of a storage account of Azure. */
const AZURE_KEYS = ["key1", "key2"].map((keyName) => ({ keyName, value: "a2V5" }));

/** A container, without what signs. */
export const AZURE_LOCATION = {
  account: "acmepg",
  container: "orders",
  endpoint: "blob.core.usgovcloudapi.net",
  port: 8443,
  uriStyle: "host",
  keyType: "sas",
} as const;

/** A bucket of Google, without what signs. */
export const GCS_LOCATION = {
  bucket: "acme-pg",
  endpoint: "gcs.lan:4443",
  userProject: "acme-backups",
  caFile: "/etc/ca.pem",
  keyType: "service",
} as const;

/** One input of a component's arguments. */
export interface InputPath {
  /** `repositories.repo1.bundle` */
  readonly path: string;
  /** `HostRepositoryArgs.bundle` */
  readonly field: string;
}

export interface Inputs {
  readonly paths: readonly InputPath[];
  /** Inputs of the same types without a value here: `HostRepositoryArgs.bundle`. */
  readonly missing: readonly string[];
}

const INPUT = /^(?:pulumi\.)?Input<(.+)>;?$/;

/** Every input among `args`, which are of the public type `type` among `types`. */
export function inputsOf(type: string, args: object, types = publicTypes()): Inputs {
  const paths: InputPath[] = [];
  const seen = new Set<string>();
  const expected = new Set<string>();
  const visit = (typeText: string, value: unknown, path: string): void => {
    if (value === undefined || value === null) return;
    const text = typeText.replace(/;$/, "");
    const map = /^\{ \[\w+: string\]: (.+?);? \}$/.exec(text)?.[1];
    const item = /^(.+)\[\]$/.exec(text)?.[1];
    if (map !== undefined || item !== undefined) {
      for (const [key, each] of Object.entries(value)) visitField(map ?? item ?? "", each, `${path}.${key}`, path);
      return;
    }
    const described = types.find(({ name }) => name === text);
    if (described === undefined || described.kind !== "fields") {
      // What actions get from a component is no argument.
      if (/^[A-Z]/.test(text) && text !== "IntOrString" && !text.endsWith("Access") && described === undefined)
        throw new Error(`${path}: ${text} is not public`);
      return;
    }
    for (const field of described.fields) {
      const given = (value as Readonly<Record<string, unknown>>)[field.name];
      const name = `${described.name}.${field.name}`;
      // The operator has hundreds of fields, which are passed through.
      if (INPUT.test(field.type) && !described.isOperators) expected.add(name);
      if (given !== undefined) visitField(field.type, given, path === "" ? field.name : `${path}.${field.name}`, name);
    }
  };
  const visitField = (typeText: string, value: unknown, path: string, field: string): void => {
    const inner = INPUT.exec(typeText)?.[1];
    if (inner === undefined) return visit(typeText, value, path);
    seen.add(field);
    paths.push({ path, field });
    // An object may come as a whole, or in parts.
    if (/^[A-Z{]/.test(inner)) visit(inner, value, path);
  };
  visit(type, args, "");
  return { paths, missing: [...expected].filter((name) => !seen.has(name)) };
}

/** The arguments with one or all inputs made by `of`. */
export function withInputs<T>(args: T, paths: readonly string[], of: (value: unknown) => unknown, path = ""): T {
  if (paths.includes(path)) return of(args) as T;
  if (pulumi.Output.isInstance(args) || typeof args !== "object" || args === null) return args;
  const entries = Object.entries(args).map(([key, item]) => [
    key,
    withInputs(item as unknown, paths, of, path === "" ? key : `${path}.${key}`),
  ]);
  return (Array.isArray(args) ? entries.map(([, item]) => item) : Object.fromEntries(entries)) as T;
}

/** A value that comes when the program has ended. */
export function deferred<T>(value: T): pulumi.Output<T> {
  return pulumi.output(Promise.resolve({ value })).apply((known) => known.value as T);
}

/** A value that the preview does not know. */
export function notKnown(): pulumi.Output<unknown> {
  return pulumi.output<unknown>(unknown);
}

/** What a program registers, by resource, and what it reports. */
export interface Registered {
  readonly resources: Readonly<Record<string, unknown>>;
  readonly outputs: unknown;
  readonly messages: readonly string[];
}

/** @param program returns outputs of its component */
export async function register(program: () => unknown, preview: boolean): Promise<Registered> {
  const resources: Record<string, unknown> = {};
  const messages: string[] = [];
  const log = async (text: string): Promise<void> => void messages.push(text);
  const spies = [
    vi.spyOn(pulumi.log, "warn").mockImplementation(log),
    vi.spyOn(pulumi.log, "info").mockImplementation(log),
  ];
  await pulumi.runtime.setMocks(
    {
      call: () => ({ keys: AZURE_KEYS }),
      newResource: ({ id, inputs, name, type }) => {
        // One that is only read.
        if (id) return { id, state: {} };
        const { __provider: _provider, ...own } = inputs as Record<string, unknown>;
        resources[`${type} ${name}`] = asRead(plainValue(own) as object);
        return { id: `host/${name}`, state: { ...own, ...computedOf(type) } };
      },
    },
    "shop",
    "prod",
    preview,
  );
  let outputs: unknown;
  try {
    const made = pulumi.output(program() as object);
    const whole = made as pulumi.Output<unknown> & { promise(withUnknowns: boolean): Promise<unknown> };
    outputs = plainValue(await whole.promise(true));
  } finally {
    await pulumi.runtime.disconnect();
    for (const spy of spies) spy.mockRestore();
  }
  return { resources, outputs, messages: messages.toSorted() };
}

/** Outputs that resources need of others. */
const COMPUTED: readonly (readonly [type: RegExp, outputs: object])[] = [
  [/AccountToken$/, { value: "token" }],
  [/serviceaccount\/account/, { member: "serviceAccount:a@acme.iam.gserviceaccount.com", name: "account" }],
  [/serviceaccount\/key/, { privateKey: Buffer.from('{ "type": "service_account" }').toString("base64") }],
  [/SshKey$/, { publicKey: "ssh-ed25519 AAAAC3", privateKey: "made" }],
  [/RepositoryHost/, { hostKey: "ssh-ed25519 AAAAC3" }],
  [/Certificate$/, { certificatePem: "pem", privateKeyPem: "key", notAfter: "2030-01-01T00:00:00Z" }],
];

/** What a resource of this type has besides its inputs. */
export function computedOf(type: string): object {
  return COMPUTED.find(([pattern]) => pattern.test(type))?.[1] ?? {};
}

const SIGNATURE = "4dabf18193072939515e22adb298388d";

function plainValue(value: unknown): unknown {
  if (isUnknown(value)) return UNKNOWN;
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== "object" || value === null) return value;
  if (SIGNATURE in value && "value" in value) return plainValue(value.value);
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, plainValue(item)]])),
  );
}

/** A host's inputs as its methods read them: which files are in JSON depends on which of them are deferred. */
function asRead(given: object): object {
  const { closedFiles, desired, files, ...others } = given as Readonly<Record<string, unknown>>;
  if (desired === undefined || files === undefined) return given;
  const known = [desired, files].map((part) => (part === UNKNOWN ? "{}" : part));
  const closed = closedFiles === UNKNOWN ? {} : closedFiles;
  const inputs = readInputs({ desired: known[0], files: known[1], closedFiles: closed } as GivenInputs);
  const areKnown = files !== UNKNOWN && closedFiles !== UNKNOWN;
  return {
    ...others,
    desired: desired === UNKNOWN ? UNKNOWN : inputs.desired,
    files: areKnown ? Object.fromEntries(wholeFiles(inputs.files)) : UNKNOWN,
  };
}

/** Where a preview says something else than the value or that it is unknown. */
export function guesses(known: unknown, preview: unknown, path = ""): string[] {
  if (preview === UNKNOWN) return [];
  const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
  if (!isObject(known) || !isObject(preview) || Array.isArray(known) !== Array.isArray(preview)) {
    return known === preview ? [] : [`${path}: ${JSON.stringify(preview)} instead of ${JSON.stringify(known)}`];
  }
  // These numbers say themselves that they are minimums.
  if ("known" in preview && preview.known === false) return [];
  const names = [...new Set([...Object.keys(known), ...Object.keys(preview)])];
  const fields = (value: object): Readonly<Record<string, unknown>> => value as Readonly<Record<string, unknown>>;
  return names.flatMap((name) => guesses(fields(known)[name], fields(preview)[name], `${path}/${name}`));
}

/** At night each one. `deferredSubsets.test.ts` draws from all of them in every run. */
const isDrawn = (_path: string, index: number): boolean => NIGHTLY || index % 12 === 0;

/** A program with a component. */
export interface DeferredForm {
  readonly name: string;
  /** Inputs without a value in the program. */
  readonly missing: readonly string[];
  readonly paths: readonly string[];
  /** Those that a preview is tried without, one by one. */
  readonly own: readonly string[];
  run(paths: readonly string[], of: (value: unknown) => unknown): () => unknown;
}

/** Deferred values give what plain ones give, and a preview without them guesses nothing. */
export function describeDeferred(forms: readonly DeferredForm[]): void {
  describe.each(forms)("$name", ({ own, paths, run }) => {
    // claim: docs/reference/components.md: "Plain arguments": every other value may come from another resource: a
    //   deferred one gives what a plain one gives, and a preview without it guesses nothing (no engine)
    test("deferred values give what plain ones give", async () => {
      const plain = await register(run([], deferred), false);
      const made = await register(run(paths, deferred), false);
      expect(guesses(plain, made)).toEqual([]);
    });

    let known: Registered;
    let plain: Registered;
    beforeAll(async () => {
      known = await register(run([], deferred), true);
      plain = await register(run([], deferred), false);
    });

    // Each has a time limit of its own: at night all of them take a quarter of an hour beside the other tiers.
    const parts = fc.sample(fc.subarray([...paths], { minLength: 1 }), NIGHTLY ? 40 : 1);
    // claim: docs/reference/components.md: "Plain arguments": every other…
    test.each(parts.map((some) => ({ some })))("any part of them may be deferred (%#)", async ({ some }) => {
      const made = await register(run(some, deferred), false);
      expect(guesses(plain, made)).toEqual([]);
      const preview = await register(run(some, notKnown), true);
      expect(guesses(known.resources, preview.resources)).toEqual([]);
      expect(guesses(known.outputs, preview.outputs)).toEqual([]);
      expect(preview.messages.filter((text) => !known.messages.includes(text))).toEqual([]);
    });

    // claim: docs/reference/components.md: "Plain arguments": every other…
    test.each([paths, ...own.filter(isDrawn).map((path) => [path])])(
      "a preview without %s guesses nothing",
      async (...unknowns) => {
        const made = await register(run(unknowns, notKnown), true);
        expect(guesses(known.resources, made.resources)).toEqual([]);
        expect(guesses(known.outputs, made.outputs)).toEqual([]);
        expect(made.messages.filter((text) => !known.messages.includes(text))).toEqual([]);
      },
    );
  });
}
