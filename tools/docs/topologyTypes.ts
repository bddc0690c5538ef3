/** components/plan/topology/topologyTypes.ts: the types of a topology as data, for topologies from files. */
import ts from "typescript";
import { exportedTypes } from "../parts/build/topologySchema";

const SOURCE = "components/plan/topology/topology.ts";

export function renderTopologyTypes(): string {
  const { checker, typeOf } = exportedTypes(SOURCE);
  const writer = new Writer(checker);
  writer.textOf(typeOf("Topology"), "Topology");
  return [
    "/**",
    " * The types of a topology, for topologies from files. `npm run docs` makes this file from the declarations in",
    " * topology.ts: change those.",
    " */",
    'import type { TypeTable } from "../../../runtime/base/declaredTypes";',
    "",
    "export const TOPOLOGY_TYPES: TypeTable = {",
    ...[...writer.types].flatMap(([name, rows]) => [`  ${name}: {`, ...rows.map((row) => `    ${row}`), "  },"]),
    "};",
    "",
  ].join("\n");
}

/** Each type once, in the notation of argumentTypes.ts. */
class Writer {
  readonly types = new Map<string, readonly string[]>();
  readonly #checker: ts.TypeChecker;

  constructor(checker: ts.TypeChecker) {
    this.#checker = checker;
  }

  /** @param path names a type that has no name */
  textOf(given: ts.Type, path: string): string {
    const type = this.#checker.getNonNullableType(given);
    if ((type.flags & ts.TypeFlags.StringLike) !== 0) return type.isStringLiteral() ? `"${type.value}"` : "string";
    if ((type.flags & ts.TypeFlags.NumberLike) !== 0) return "number";
    if ((type.flags & ts.TypeFlags.BooleanLike) !== 0) return "boolean";
    if (type.isUnion()) {
      const texts = type.types.map((each) => this.textOf(each, path));
      return texts.every((text) => text.startsWith('"')) ? texts.join(" | ") : "unknown";
    }
    if (this.#checker.isArrayType(type)) {
      const [item] = this.#checker.getTypeArguments(type as ts.TypeReference);
      return item === undefined ? "unknown" : `${this.textOf(item, path)}[]`;
    }
    const values = this.#checker.getIndexTypeOfType(type, ts.IndexKind.String);
    if (values !== undefined) return `{ [name: string]: ${this.textOf(values, path)} }`;
    const properties = this.#checker.getPropertiesOfType(type);
    return properties.length === 0 ? "unknown" : this.#named(type, properties, path);
  }

  #named(type: ts.Type, properties: readonly ts.Symbol[], path: string): string {
    const isInterface = (type.symbol.flags & ts.SymbolFlags.Interface) !== 0;
    const name = isInterface ? type.symbol.name : `${path[0]?.toUpperCase()}${path.slice(1)}`;
    if (this.types.has(name)) return name;
    this.types.set(name, []);
    const rows = properties.map((property) => {
      const field = this.#checker.getTypeOfSymbol(property);
      const text = this.textOf(field, property.name);
      // JSON has no undefined: such a field is absent.
      const isOptional = (property.flags & ts.SymbolFlags.Optional) !== 0 || hasUndefined(field);
      return `${isOptional ? `"${property.name}?"` : property.name}: ${text.includes('"') ? `'${text}'` : `"${text}"`},`;
    });
    this.types.set(name, rows);
    return name;
  }
}

function hasUndefined(type: ts.Type): boolean {
  return type.isUnion() && type.types.some((each) => (each.flags & ts.TypeFlags.Undefined) !== 0);
}
