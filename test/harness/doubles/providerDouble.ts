/**
 * A double of a Pulumi resource provider (aws, cloudflare, …). The real plugin needs the internet and an account. The
 * double speaks the engine's provider protocol over gRPC, so the real engine previews, updates, refreshes and destroys
 * programs with such resources.
 *
 * A {@link ProviderSchema} (providerSchemas.ts) has one row per type: its inputs and outputs, which of them are secret,
 * and which cannot change in place. The double keeps created resources, as the service would. A test changes them by
 * hand to create drift, and plans faults; every fault must happen. The double runs in the test's own process. The
 * engine finds it through `PULUMI_DEBUG_PROVIDERS` ({@link engineEnvironment}).
 *
 * It behaves as documented for providers ("Pulumi provider implementer's guide"). Check rejects unknown and missing
 * inputs. Unknown values stay unknown in a preview. Secrets keep their mark. A missing name becomes the logical name
 * and seven hexadecimal digits.
 */
import { createHash, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import type {
  CheckRequest,
  ConfigureRequest,
  CreateRequest,
  DeleteRequest,
  DiffRequest,
  InvokeRequest,
  PropertyDiff,
  ReadRequest,
  UpdateRequest,
} from "@pulumi/pulumi/proto/provider_pb";
import provider from "@pulumi/pulumi/proto/provider_pb";
import services from "@pulumi/pulumi/proto/provider_grpc_pb";
import plugin from "@pulumi/pulumi/proto/plugin_pb";
import {
  isSecret,
  isUnknown,
  markSecret,
  plain,
  sameValue,
  textOf,
  UNKNOWN,
  type Value,
  type Values,
} from "./providerValues";

export interface ResourceSchema {
  /** Mandatory inputs. */
  readonly required: readonly string[];
  readonly optional?: readonly string[];
  /** Inputs whose change replaces the resource. */
  readonly replaces?: readonly string[];
  /** Outputs that are always secret, whatever the inputs were. */
  readonly secrets?: readonly string[];
  /** The input that the engine names if it is missing. */
  readonly autoName?: string;
  /** The same for an object of Kubernetes without `metadata.name`. */
  readonly autoNameInMetadata?: boolean;
  /** The identifier that the service gives; default: a random one. */
  readonly id?: (inputs: Values) => string;
  /** Extracts the identifier from an import ID that contains more: `bucket@region`. */
  readonly idOfImport?: (given: string) => string;
  /** Outputs that the service decides. The inputs have no marks; `random` differs for each resource. */
  readonly computed?: Readonly<Record<string, (inputs: Values, id: string, random: string) => Value>>;
  /** A resource of this type and id, whose fields this one sets. */
  readonly patches?: string;
  /** True: deleting the resource changes nothing at the service. */
  readonly deleteDoesNothing?: boolean;
}

/** Executes calls on a real server. An error that it throws becomes the provider's error. */
export interface LiveResource {
  /** Returns the outputs that the server decides, which replace those of the schema. */
  create(inputs: Values): Promise<LiveAnswer | void>;
  update?(inputs: Values, id: string): Promise<void>;
  delete(inputs: Values, id: string): Promise<void>;
}

export interface LiveAnswer {
  readonly id: string;
  readonly outputs: Values;
}

export interface ProviderSchema {
  /** `aws` */
  readonly name: string;
  readonly version: string;
  /** By type token, `aws:s3/bucket:Bucket`. */
  readonly resources: Readonly<Record<string, ResourceSchema>>;
  /** By function token: functions that a program calls while it runs. */
  readonly functions?: Readonly<Record<string, (args: Values) => Values>>;
}

export interface ProviderOptions {
  /** By type token. */
  readonly live?: Readonly<Record<string, LiveResource>>;
}

export type ProviderMethod = "check" | "diff" | "create" | "read" | "update" | "delete" | "invoke";

export interface ProviderFault {
  /** The provider's error message. */
  readonly message: string;
  /** Applies only to calls for this type or function. */
  readonly type?: string;
  /** True: the service executed the call, and the answer was lost. */
  readonly after?: boolean;
  /** Number of calls that meet the fault; default 1. */
  readonly times?: number;
}

/** A resource at the service. Inputs and outputs have no marks. */
export interface HeldResource {
  readonly type: string;
  readonly id: string;
  readonly inputs: Values;
  readonly outputs: Values;
}

interface GrpcServer {
  addService(service: unknown, handlers: Readonly<Record<string, unknown>>): void;
  bindAsync(address: string, credentials: unknown, done: (error: Error | null, port: number) => void): void;
  forceShutdown(): void;
}
interface Grpc {
  readonly Server: new (options: object) => GrpcServer;
  readonly ServerCredentials: { createInsecure(): unknown };
  readonly status: Readonly<Record<"UNKNOWN" | "UNIMPLEMENTED", number>>;
}
interface Message {
  toJavaScript(): Values;
}
type StructType = ReturnType<CreateRequest["getProperties"]>;

/** The same packages that the SDK uses. */
const ofSdk = createRequire(createRequire(__filename).resolve("@pulumi/pulumi"));
const grpc = ofSdk("@grpc/grpc-js") as Grpc;
const { Struct } = ofSdk("google-protobuf/google/protobuf/struct_pb.js") as {
  Struct: { fromJavaScript(value: Values): StructType };
};
const { Empty } = ofSdk("google-protobuf/google/protobuf/empty_pb.js") as { Empty: new () => object };
/** The SDK's own limit: a program's resource trees may be large. */
const MESSAGE_SIZE_BYTES_MAX = 1024 * 1024 * 400;

interface Planned extends ProviderFault {
  readonly method: ProviderMethod;
  left: number;
}

export class ProviderDouble {
  readonly schema: ProviderSchema;
  readonly port: number;
  /** Resources at the service, by type and id: a bucket's settings share its id. */
  readonly #held = new Map<string, HeldResource>();
  /** Calls so far, such as `create aws:s3/bucket:Bucket`. */
  readonly calls: string[] = [];
  /** Configuration of each configured provider instance, without marks. */
  readonly configurations: Values[] = [];
  readonly #server: GrpcServer;
  readonly #live: Readonly<Record<string, LiveResource>>;
  #planned: Planned[] = [];

  private constructor(schema: ProviderSchema, options: ProviderOptions, server: GrpcServer, port: number) {
    this.schema = schema;
    this.port = port;
    this.#server = server;
    this.#live = options.live ?? {};
  }

  static async start(schema: ProviderSchema, options: ProviderOptions = {}): Promise<ProviderDouble> {
    const server = new grpc.Server({ "grpc.max_receive_message_length": MESSAGE_SIZE_BYTES_MAX });
    let double: ProviderDouble | undefined;
    server.addService(
      services.ResourceProviderService,
      handlersOf(() => double),
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    double = new ProviderDouble(schema, options, server, port);
    return double;
  }

  /** The next calls of the method meet the fault, after faults that are already planned. */
  plan(method: ProviderMethod, fault: ProviderFault): this {
    this.#planned.push({ ...fault, method, left: fault.times ?? 1 });
    return this;
  }

  /** All resources of a type, or all resources. */
  all(type?: string): readonly HeldResource[] {
    return [...this.#held.values()].filter((resource) => type === undefined || resource.type === type);
  }

  /** The one resource of a type. @throws Error if it is missing, or not the only one */
  only(type: string): HeldResource {
    const result = this.all(type);
    const [first] = result;
    if (result.length !== 1 || first === undefined) throw new Error(`${result.length} resources of type ${type}`);
    return first;
  }

  find(type: string, id: string): HeldResource | null {
    return this.#held.get(`${type} ${id}`) ?? null;
  }

  /** Changes a resource as a user would by hand. */
  changeByHand(resource: HeldResource, inputs: Values): void {
    this.#hold({ ...resource, inputs: { ...resource.inputs, ...inputs }, outputs: { ...resource.outputs, ...inputs } });
  }

  /** Deletes a resource as a user would by hand. */
  deleteByHand({ type, id }: HeldResource): void {
    this.#held.delete(`${type} ${id}`);
  }

  /** Stops the server. @throws Error if a planned fault did not happen: the test proved less than it says */
  stop(): void {
    this.#server.forceShutdown();
    const unused = this.#planned
      .filter((fault) => fault.left > 0)
      .map((fault) => `${fault.method} ${fault.type ?? "any"}: ${fault.message}`);
    this.#planned = [];
    if (unused.length > 0)
      throw new Error(`planned faults of provider '${this.schema.name}' did not happen: ${unused.join(", ")}`);
  }

  /** Runs one call of the protocol with its planned fault. */
  async serve<T>(method: ProviderMethod, type: string, work: () => Promise<T>): Promise<T> {
    this.calls.push(`${method} ${type}`);
    const fault = this.#planned.find(
      (planned) => planned.method === method && planned.left > 0 && (planned.type ?? type) === type,
    );
    if (fault === undefined) return work();
    fault.left--;
    if (fault.after === true) await work();
    throw new Error(fault.message);
  }

  resource(type: string): ResourceSchema {
    const schema = this.schema.resources[type];
    if (schema === undefined)
      throw new Error(
        `unknown resource type ${type}: give it a row in providerSchemas.ts, from the provider's documents`,
      );
    return schema;
  }

  async create(type: string, marked: Values): Promise<{ id: string; outputs: Values }> {
    const schema = this.resource(type);
    const inputs = plain(marked) as Values;
    const random = randomBytes(16).toString("hex");
    const named = schema.id?.(inputs) ?? random.slice(0, 20);
    if (this.find(type, named) !== null && schema.deleteDoesNothing !== true)
      throw new Error(`creating ${type}: '${named}' already exists`);
    const { id, outputs } = (await this.#live[type]?.create(inputs)) ?? { id: named, outputs: {} };
    const made = Object.entries(schema.computed ?? {}).map(([name, make]) => [name, make(inputs, id, random)] as const);
    const computed = { ...Object.fromEntries(made), ...outputs };
    this.#hold({ type, id, inputs, outputs: { ...inputs, ...computed } });
    return { id, outputs: withMarks({ ...marked, ...computed }, schema) };
  }

  async update(id: string, type: string, marked: Values): Promise<Values> {
    const schema = this.resource(type);
    const before = this.find(type, id);
    if (before === null) throw new Error(`updating ${type}: '${id}' does not exist`);
    const inputs = plain(marked) as Values;
    const computed = Object.fromEntries(
      Object.keys(schema.computed ?? {}).map((name) => [name, before.outputs[name] ?? null]),
    );
    await this.#live[type]?.update?.(inputs, id);
    this.#hold({ type, id, inputs, outputs: { ...inputs, ...computed } });
    return withMarks({ ...marked, ...computed }, schema);
  }

  async delete(id: string, type: string): Promise<void> {
    const schema = this.resource(type);
    const resource = this.find(type, id);
    // Deleting a missing resource is no error: someone else deleted it first.
    if (schema.deleteDoesNothing === true || resource === null) return;
    await this.#live[type]?.delete(resource.inputs, id);
    this.deleteByHand(resource);
  }

  #hold(resource: HeldResource): void {
    this.#held.set(`${resource.type} ${resource.id}`, resource);
    const { patches } = this.resource(resource.type);
    const patched = patches === undefined ? null : this.find(patches, resource.id);
    if (patched === null) return;
    const { apiVersion: _version, kind: _kind, metadata: _metadata, ...fields } = resource.inputs;
    this.changeByHand(patched, fields);
  }
}

/** Environment that makes the engine use these doubles instead of plugins. */
export function engineEnvironment(doubles: readonly ProviderDouble[]): Record<string, string> {
  return { PULUMI_DEBUG_PROVIDERS: doubles.map(({ schema, port }) => `${schema.name}:${port}`).join(",") };
}

/** Outputs with the secret mark on those that are always secret. */
function withMarks(values: Values, schema: ResourceSchema): Values {
  const secrets = new Set(schema.secrets ?? []);
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      secrets.has(name) && !isSecret(value) ? markSecret(value) : value,
    ]),
  );
}

interface Call {
  /** Each handler knows the type of its request. */
  readonly request: never;
}
type Answer = (error: object | null, response?: object) => void;
type Handler = (call: Call, answer: Answer) => void;

/** The methods of the service. The double is created before the first call. */
function handlersOf(find: () => ProviderDouble | undefined): Record<string, Handler> {
  const handle =
    (work: (double: ProviderDouble, request: never) => Promise<object> | object): Handler =>
    (call, answer) => {
      const double = find();
      const done = async (): Promise<object> =>
        double === undefined ? Promise.reject(new Error("not started")) : work(double, call.request);
      done().then(
        (response) => answer(null, response),
        (error: unknown) =>
          answer({ code: grpc.status.UNKNOWN, details: error instanceof Error ? error.message : String(error) }),
      );
    };
  return {
    attach: handle(() => new Empty()),
    cancel: handle(() => new Empty()),
    handshake: handle(() => {
      const response = new provider.ProviderHandshakeResponse();
      response.setAcceptSecrets(true);
      return response;
    }),
    getPluginInfo: handle(({ schema }) => {
      const response = new plugin.PluginInfo();
      response.setVersion(schema.version);
      return response;
    }),
    checkConfig: handle((_double, request: CheckRequest) => {
      const response = new provider.CheckResponse();
      response.setInputs(request.getNews());
      return response;
    }),
    diffConfig: handle(() => {
      const response = new provider.DiffResponse();
      response.setChanges(provider.DiffResponse.DiffChanges.DIFF_NONE);
      return response;
    }),
    configure: handle((double, request: ConfigureRequest) => {
      double.configurations.push(plain(valuesOf(request.getArgs())) as Values);
      const response = new provider.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      return response;
    }),
    check: handle(check),
    diff: handle(diff),
    create: handle(create),
    read: handle(read),
    update: handle(update),
    delete: handle(remove),
    invoke: handle(invoke),
  };
}

function check(double: ProviderDouble, request: CheckRequest): Promise<object> {
  const type = typeOf(request.getUrn());
  return double.serve("check", type, async () => {
    const schema = double.resource(type);
    const olds = valuesOf(request.getOlds());
    const news = valuesOf(request.getNews());
    const name = request.getUrn().split("::").at(-1) ?? "";
    const { autoName } = schema;
    if (autoName !== undefined && news[autoName] === undefined)
      news[autoName] = olds[autoName] ?? engineName(name, request.getRandomseed_asU8());
    const [before, metadata] = [olds, news].map((values) => values["metadata"] as Values | undefined);
    if (schema.autoNameInMetadata === true && metadata?.["name"] === undefined)
      news["metadata"] = { ...metadata, name: before?.["name"] ?? engineName(name, request.getRandomseed_asU8()) };
    const known = new Set([...schema.required, ...(schema.optional ?? [])]);
    const missing = schema.required.filter((input) => news[input] === undefined || news[input] === null);
    const failures = [
      ...missing.map(
        (input) =>
          [
            input,
            `Missing required argument. The argument "${input}" is required, but no definition was found`,
          ] as const,
      ),
      ...Object.keys(news)
        .filter((input) => !known.has(input))
        .map((input) => [input, `Invalid or unknown key. Examine values at '${name}.${input}'.`] as const),
    ];
    const response = new provider.CheckResponse();
    response.setInputs(Struct.fromJavaScript(news));
    response.setFailuresList(
      failures.map(([property, reason]) => {
        const failure = new provider.CheckFailure();
        failure.setProperty(property);
        failure.setReason(reason);
        return failure;
      }),
    );
    return response;
  });
}

function diff(double: ProviderDouble, request: DiffRequest): Promise<object> {
  const type = typeOf(request.getUrn());
  return double.serve("diff", type, async () => {
    const { replaces = [], autoName, id } = double.resource(type);
    const olds = valuesOf(request.getOldInputs());
    const news = valuesOf(request.getNews());
    const ignored = new Set(request.getIgnorechangesList());
    const names = [...new Set([...Object.keys(olds), ...Object.keys(news)])].filter(
      (name) => !ignored.has(name) && !sameValue(olds[name], news[name]),
    );
    const response = new provider.DiffResponse();
    const { DIFF_SOME, DIFF_NONE } = provider.DiffResponse.DiffChanges;
    response.setChanges(names.length > 0 ? DIFF_SOME : DIFF_NONE);
    response.setDiffsList(names);
    response.setReplacesList(names.filter((name) => replaces.includes(name)));
    response.setHasdetaileddiff(true);
    for (const name of names) {
      const entry = new provider.PropertyDiff();
      entry.setKind(kindOf(olds[name], news[name], replaces.includes(name)));
      entry.setInputdiff(true);
      response.getDetaileddiffMap().set(name, entry);
    }
    // If the user chose the name, the old and the new resource cannot exist at the same time.
    const named = autoName === undefined || !/-[0-9a-f]{7}$/.test(textOf(news[autoName]));
    const isSame =
      autoName === undefined
        ? id !== undefined && id(plain(olds) as Values) === id(plain(news) as Values)
        : sameValue(olds[autoName], news[autoName]);
    response.setDeletebeforereplace(named && isSame);
    return response;
  });
}

function kindOf(old: Value | undefined, next: Value | undefined, replaces: boolean): PropertyDiff.Kind {
  const { Kind } = provider.PropertyDiff;
  if (old === undefined) return replaces ? Kind.ADD_REPLACE : Kind.ADD;
  if (next === undefined) return replaces ? Kind.DELETE_REPLACE : Kind.DELETE;
  return replaces ? Kind.UPDATE_REPLACE : Kind.UPDATE;
}

async function create(double: ProviderDouble, request: CreateRequest): Promise<object> {
  const type = typeOf(request.getUrn());
  const inputs = valuesOf(request.getProperties());
  const response = new provider.CreateResponse();
  if (request.getPreview()) {
    const schema = double.resource(type);
    const unknown = Object.fromEntries(Object.keys(schema.computed ?? {}).map((name) => [name, UNKNOWN]));
    response.setProperties(Struct.fromJavaScript(withMarks({ ...inputs, ...unknown }, schema)));
    return response;
  }
  const { id, outputs } = await double.serve("create", type, () => double.create(type, inputs));
  response.setId(id);
  response.setProperties(Struct.fromJavaScript(outputs));
  return response;
}

function read(double: ProviderDouble, request: ReadRequest): Promise<object> {
  const type = typeOf(request.getUrn());
  return double.serve("read", type, async () => {
    const response = new provider.ReadResponse();
    const schema = double.resource(type);
    const result = double.find(type, request.getId()) ?? double.find(type, schema.idOfImport?.(request.getId()) ?? "");
    // A response without an id means that the resource is gone.
    if (result === null) return response;
    const before = valuesOf(request.getInputs());
    response.setId(result.id);
    response.setInputs(Struct.fromJavaScript(markAs(result.inputs, before)));
    response.setProperties(
      Struct.fromJavaScript(withMarks(markAs(result.outputs, valuesOf(request.getProperties())), schema)),
    );
    return response;
  });
}

async function update(double: ProviderDouble, request: UpdateRequest): Promise<object> {
  const type = typeOf(request.getUrn());
  const news = valuesOf(request.getNews());
  const response = new provider.UpdateResponse();
  if (request.getPreview()) {
    const olds = valuesOf(request.getOlds());
    const schema = double.resource(type);
    const kept = Object.fromEntries(Object.keys(schema.computed ?? {}).map((name) => [name, olds[name] ?? UNKNOWN]));
    response.setProperties(Struct.fromJavaScript(withMarks({ ...news, ...kept }, schema)));
    return response;
  }
  const outputs = await double.serve("update", type, () => double.update(request.getId(), type, news));
  response.setProperties(Struct.fromJavaScript(outputs));
  return response;
}

async function remove(double: ProviderDouble, request: DeleteRequest): Promise<object> {
  const type = typeOf(request.getUrn());
  await double.serve("delete", type, () => double.delete(request.getId(), type));
  return new Empty();
}

function invoke(double: ProviderDouble, request: InvokeRequest): Promise<object> {
  const token = request.getTok();
  return double.serve("invoke", token, async () => {
    const work = double.schema.functions?.[token];
    if (work === undefined)
      throw new Error(`unknown function ${token}: give it a row in providerSchemas.ts, from the provider's documents`);
    const response = new provider.InvokeResponse();
    response.setReturn(Struct.fromJavaScript(work(plain(valuesOf(request.getArgs())) as Values)));
    return response;
  });
}

function valuesOf(struct: Message | undefined): Values {
  return struct?.toJavaScript() ?? {};
}

/** `urn:pulumi:stack::project::parent$type::name` → type. */
function typeOf(urn: string): string {
  return urn.split("::")[2]?.split("$").at(-1) ?? "";
}

/** The engine's seed makes the name the same in preview and update. */
function engineName(name: string, seed: Uint8Array): string {
  const digits = createHash("sha256")
    .update(seed.length === 0 ? randomBytes(16) : seed)
    .update(name);
  return `${name}-${digits.digest("hex").slice(0, 7)}`;
}

/** `values` with the marks of the previous values of the same names. */
function markAs(values: Values, before: Values): Values {
  const marked = (name: string): boolean =>
    before[name] !== undefined && isSecret(before[name]) && !isUnknown(before[name]);
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, marked(name) ? markSecret(value) : value]),
  );
}
