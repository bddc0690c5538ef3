/**
 * The objects that the engine is about to make or change, after transforms of the program and `ignoreChanges`: what was
 * judged may be another one. The engine asks before it does anything, in previews too. A targeted update does not ask
 * about other objects.
 */
import * as pulumi from "@pulumi/pulumi";
import { unknownMarker } from "../plan/model/unknown";
import { checkFinalObject, type Compare, isComparedKind, judgeFinal } from "../plan/rules/finalObject";
import type { Manifest } from "../render/kubernetes/objects";
import { hookOf, perProgram, watched } from "./hooks";
import { arrival, isDeferredInput } from "./inputs";
import { logWarnings, throwErrors } from "./validate";

/** An object as its component has judged it. */
export interface JudgedObject {
  /** Title of the component, for errors. */
  readonly title: string;
  readonly inputs: object;
  readonly parent: pulumi.Resource;
  readonly compare: Compare;
}

/** An object of Kubernetes with all fields that decide; null for a kind that has none. */
export function judgedManifest(title: string, parent: pulumi.Resource, manifest: Manifest): JudgedObject | null {
  const compare = checkFinalObject.bind(null, manifest.kind);
  return isComparedKind(manifest.kind) ? { title, parent, inputs: manifest, compare } : null;
}

/** The hook of a program and the objects that it asks about: the engine takes a request for each hook. */
const objectsOf = perProgram(() => {
  const objects = new Map<string, JudgedObject>();
  const ask: pulumi.ResourceHookFunction = async ({ newInputs, oldInputs, urn }) => {
    const judged = objects.get(urn);
    if (judged === undefined) return;
    const [wanted, final, before] = await Promise.all([judged.inputs, newInputs, oldInputs].map(settled));
    const findings = judgeFinal(judged.compare, wanted, final, before);
    throwErrors(judged.title, findings);
    logWarnings(findings, judged.parent);
  };
  return { objects, hook: hookOf("is each object as it was judged", ask) };
});

/** Options of an object that is judged again as the engine has it. @param type token of the resource */
export function judgedAgain(
  name: string,
  type: string,
  judged: JudgedObject,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResourceOptions {
  const made = watched(opts, objectsOf) ?? opts;
  // The resource knows its URN by the engine's answer, which comes after the question.
  if (made !== opts) pulumi.createUrn(name, type, judged.parent).apply((urn) => objectsOf().objects.set(urn, judged));
  return made;
}

/** The value with a marker for each output that this preview does not know. */
async function settled(value: unknown): Promise<unknown> {
  if (pulumi.isUnknown(value)) return UNKNOWN;
  if (isDeferredInput(value)) return settled(await arrived(pulumi.output(value)));
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return Promise.all(value.map(settled));
  const entries = Object.entries(value).map(async ([key, item]) => [key, await settled(item)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

const UNKNOWN = unknownMarker(0);

async function arrived(output: pulumi.Output<unknown>): Promise<unknown> {
  let value: unknown = UNKNOWN;
  const reading = output.apply((known) => {
    value = known;
  });
  await arrival(reading);
  return value;
}
