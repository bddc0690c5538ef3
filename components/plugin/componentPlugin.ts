/**
 * The components for programs in other languages: a Pulumi provider that creates them on request, in its own process.
 * The package build creates its schema (`npm run package`) from the sources with the SDK's own analyzer, so that users
 * need no compiler or analyzer.
 */
import * as pulumi from "@pulumi/pulumi";
import type { Claims } from "../plan/findings/claims";
import { constructed } from "../internal/programClaims";
import { throwErrors } from "../internal/validate";
import { given } from "../../runtime/base/given";
import { checkArguments, type Declarations } from "../plan/arguments/checkArguments";
import { OwnResources } from "./ownResources";
import { type ObjectSpecs, type Settled, settleInputs, type TypeSpec } from "./settleInputs";

/** The part of the package's schema that is used here. */
export interface PackageSchema {
  readonly name: string;
  readonly version: string;
  readonly resources: Readonly<Record<string, ComponentSpec>>;
  readonly types: ObjectSpecs;
}

interface ComponentSpec {
  readonly inputProperties: Readonly<Record<string, TypeSpec>>;
  readonly properties: Readonly<Record<string, TypeSpec>>;
}

type ComponentClass = new (
  name: string,
  args: never,
  opts: pulumi.ComponentResourceOptions,
) => pulumi.ComponentResource;

export type Exported = Readonly<Record<string, unknown>>;

/** The provider that the SDK serves to the engine. */
export class ComponentPlugin extends OwnResources implements pulumi.provider.Provider {
  readonly version: string;
  readonly schema: string;
  readonly #schema: PackageSchema;
  readonly #exported: Exported;
  readonly #declared: Declarations | undefined;
  /** Claims of the deployment that asked last. */
  #run: { readonly deployment: string | undefined; readonly claims: Claims } | null = null;

  /**
   * @param exported the package's components, by their names
   * @param declared their arguments, if the package is another one
   */
  constructor(schema: PackageSchema, exported: Exported, declared?: Declarations) {
    super();
    this.#schema = schema;
    this.#exported = exported;
    this.#declared = declared;
    this.version = schema.version;
    // Plain parts are awaited here: a program may take any argument from another resource.
    this.schema = JSON.stringify(schema, (key, value: unknown) => (key === "plain" ? undefined : value));
  }

  /** @throws InputPropertiesError of the component */
  async construct(
    name: string,
    type: string,
    inputs: pulumi.Inputs,
    opts: pulumi.ComponentResourceOptions,
  ): Promise<pulumi.provider.ConstructResult> {
    const spec = this.#schema.resources[type];
    if (spec === undefined) throw new Error(`${type} is not a component of ${this.#schema.name} ${this.version}`);
    const settled = await settleInputs(inputs, { properties: spec.inputProperties }, this.#schema.types);
    const outputNames = Object.keys(spec.properties);
    if (settled.missing.length > 0) {
      const component = type.split(":").at(-1) ?? "";
      // The update knows what this preview does not.
      const options = { refusesDeferred: () => false, ...given({ declared: this.#declared }) };
      throwErrors(`${component} ${name}`, checkArguments(`${component}Args`, settled.value, options));
      return announce(name, type, settled.missing, outputNames, opts);
    }
    const Component = componentClass(type, this.#exported);
    const make = (): pulumi.ComponentResource => new Component(name, settled.value as never, opts);
    const made = await constructed(this.#claims(), make);
    return { urn: made.urn, state: Object.fromEntries(outputNames.map((key) => [key, fieldOf(made, key)])) };
  }

  /** One process serves one deployment, unless a debugger attached the engine to it. */
  #claims(): Claims {
    const deployment = deploymentAddress();
    if (this.#run === null || this.#run.deployment !== deployment) this.#run = { deployment, claims: new Map() };
    return this.#run.claims;
  }
}

/** Where the engine registers resources: another address in each deployment. */
function deploymentAddress(): string | undefined {
  const monitor = pulumi.runtime.getMonitor() as object | undefined as Partial<GrpcClient> | undefined;
  return monitor?.getChannel?.().getTarget();
}

/** What every client of gRPC has. The SDK does not declare it for this one. */
interface GrpcClient {
  getChannel(): { getTarget(): string };
}

/** A component whose children are still unknown: in a preview it appears alone, and all its outputs are unknown. */
class Announced extends pulumi.ComponentResource {
  constructor(type: string, name: string, opts: pulumi.ComponentResourceOptions) {
    super(type, name, {}, opts);
    this.registerOutputs({});
  }
}

function announce(
  name: string,
  type: string,
  missing: Settled["missing"],
  outputNames: readonly string[],
  opts: pulumi.ComponentResourceOptions,
): pulumi.provider.ConstructResult {
  const paths = missing.map(({ path }) => path).join(", ");
  if (!pulumi.runtime.isDryRun()) throw new pulumi.RunError(`${name}: the value of ${paths} is not known`);
  const announced = new Announced(type, name, opts);
  void pulumi.log.warn(
    `${name}: this preview does not know ${paths} yet: the update decides and checks its children`,
    announced,
  );
  const unknown = pulumi.all(missing.map(({ output }) => output)).apply(() => "");
  return { urn: announced.urn, state: Object.fromEntries(outputNames.map((key) => [key, unknown])) };
}

function componentClass(type: string, exported: Exported): ComponentClass {
  const className = type.split(":").at(-1) ?? "";
  const component = Object.entries(exported).find(([exportedName]) => exportedName === className)?.[1];
  if (typeof component !== "function") throw new Error(`${type} is in the schema, but not in this package`);
  return component as ComponentClass;
}

function fieldOf(component: pulumi.ComponentResource, key: string): unknown {
  return Object.entries(component).find(([name]) => name === key)?.[1];
}
