/**
 * Reads the public types of components/index.ts: fields with types and docstrings, values of choices, outputs of
 * components.
 *
 * It reads files of the project only, in two seconds. Types of packages stay names, which is all that a page shows.
 */
import { join } from "node:path";
import ts from "typescript";
import type { FieldKinds, NumberRange } from "../../runtime/base/declaredTypes";

export interface Field {
  readonly name: string;
  /** As the source has it, without `pulumi.`. */
  readonly type: string;
  readonly optional: boolean;
  readonly doc: string;
  readonly fallback: string | null;
  readonly examples: readonly string[];
  /** Why it must be plain: what it decides. */
  readonly plain: string | null;
  /** Range of a number: by `@minimum` and `@maximum` it is whole, by `@exclusiveMinimum` or `@from` it need not be. */
  readonly range: NumberRange | null;
  /** Range of a list's size, by `@minItems` and `@maxItems`. */
  readonly items: NumberRange | null;
  /** Types of section that have it, by `@for` and `@required`. */
  readonly kinds: FieldKinds | null;
  /** The version that knows it first, by `@since`. */
  readonly since: string | null;
  /** Declared by a type that this one extends. */
  readonly isInherited: boolean;
}

export interface ComponentType {
  readonly kind: "component";
  readonly name: string;
  /** Folder of components/ that it is in. */
  readonly folderName: string;
  readonly doc: string;
  /** Name of the type of its arguments. */
  readonly args: string;
  readonly outputs: readonly Field[];
  /** Resources that a program in TypeScript reaches; getters. */
  readonly children: readonly Field[];
}

export interface FieldsType {
  readonly kind: "fields";
  readonly name: string;
  /** One of CloudNativePG's, which its own reference describes. */
  readonly isOperators: boolean;
  readonly doc: string;
  readonly fields: readonly Field[];
}

/** A constant with values, and the type of the same name. */
export interface ChoiceType {
  readonly kind: "choice";
  readonly name: string;
  readonly doc: string;
  readonly values: readonly { readonly key: string; readonly value: string; readonly doc: string }[];
}

/** Its values as a type: `"a" | "b"`. */
export function choiceText({ values }: ChoiceType): string {
  return values.map(({ value }) => `"${value}"`).join(" | ");
}

/** An alias for text, with `@pattern`; its docstring says what is expected. */
export interface TextType {
  readonly kind: "text";
  readonly name: string;
  readonly doc: string;
  readonly pattern: string;
}

export type PublicType = ComponentType | FieldsType | ChoiceType;

/** The SDK's analyzer refuses unions. Declarations call these any value; checks and pages have them as they are. */
const UNIONS: readonly (readonly [name: RegExp, type: string])[] = [
  [/\bLimitRate\b/g, "string | { [hours: string]: Input<string> }"],
];

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts"],
  module: ts.ModuleKind.Node16,
  moduleResolution: ts.ModuleResolutionKind.Node16,
  strict: true,
  types: [],
};

/** Every public type that is not a bare alias, in the order of the file. */
export function readPublicTypes(root: string, file = "components/index.ts"): readonly PublicType[] {
  return readTypes(root, file).filter((type) => type.kind !== "text");
}

/** @param file of the project, in whose order its exported types are */
export function readTypes(root: string, file: string): readonly (PublicType | TextType)[] {
  const entry = join(root, file);
  const host = ts.createCompilerHost(OPTIONS, true);
  host.resolveModuleNameLiterals = (names, from) =>
    names.map(({ text }) => ({
      resolvedModule: text.startsWith(".") ? ts.resolveModuleName(text, from, OPTIONS, host).resolvedModule : undefined,
    }));
  const program = ts.createProgram([entry], OPTIONS, host);
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${entry} exports nothing`);
  return checker.getExportsOfModule(module).flatMap((exported) => {
    const symbol = (exported.flags & ts.SymbolFlags.Alias) === 0 ? exported : checker.getAliasedSymbol(exported);
    return describe(symbol, checker, join(root, "components"));
  });
}

function describe(symbol: ts.Symbol, checker: ts.TypeChecker, folder: string): readonly (PublicType | TextType)[] {
  const declaration = symbol.declarations?.[0];
  if (declaration === undefined) return [];
  const { name } = symbol;
  const doc = docOf(symbol, checker);
  if (ts.isClassDeclaration(declaration)) {
    const folderName =
      declaration
        .getSourceFile()
        .fileName.slice(folder.length + 1)
        .split("/")[0] ?? "";
    const outputs = declaration.members.filter(ts.isPropertyDeclaration).filter(isPublic);
    return [
      {
        kind: "component",
        name,
        folderName,
        doc,
        args: argsOf(declaration),
        outputs: outputs.flatMap((member) => fieldOf(member, checker)),
        children: declaration.members
          .filter(ts.isGetAccessorDeclaration)
          .filter(isPublic)
          .flatMap((member) => fieldOf(member, checker)),
      },
    ];
  }
  if (ts.isVariableDeclaration(declaration)) {
    const type = checker.getTypeOfSymbol(symbol);
    const values = type.getProperties().map((property) => {
      const value = checker.getTypeOfSymbol(property);
      return {
        key: property.name,
        value: value.isStringLiteral() ? value.value : checker.typeToString(value),
        doc: docOf(property, checker),
      };
    });
    return [{ kind: "choice", name, doc, values }];
  }
  if (ts.isTypeAliasDeclaration(declaration)) {
    const tag = symbol.getJsDocTags(checker).find((each) => each.name === "pattern");
    return tag === undefined ? [] : [{ kind: "text", name, doc, pattern: ts.displayPartsToString(tag.text) }];
  }
  const properties = checker.getDeclaredTypeOfSymbol(symbol).getProperties();
  const fields = properties
    .flatMap((property) => property.declarations?.slice(0, 1) ?? [])
    .flatMap((member) =>
      fieldOf(member, checker).map((field) => ({ ...field, isInherited: member.parent !== declaration })),
    );
  const isOperators = declaration.getSourceFile().fileName.endsWith("/cnpgSpec.ts");
  return [{ kind: "fields", name, isOperators, doc, fields }];
}

function argsOf(declaration: ts.ClassDeclaration): string {
  const constructor = declaration.members.find(ts.isConstructorDeclaration);
  return constructor?.parameters[1]?.type?.getText() ?? "";
}

function isPublic(member: ts.PropertyDeclaration | ts.GetAccessorDeclaration): boolean {
  const hidden: readonly ts.SyntaxKind[] = [
    ts.SyntaxKind.PrivateKeyword,
    ts.SyntaxKind.ProtectedKeyword,
    ts.SyntaxKind.StaticKeyword,
  ];
  return !ts.isPrivateIdentifier(member.name) && !(member.modifiers ?? []).some(({ kind }) => hidden.includes(kind));
}

function fieldOf(member: ts.Declaration, checker: ts.TypeChecker): readonly Field[] {
  const isGetter = ts.isGetAccessorDeclaration(member);
  if (!isGetter && !ts.isPropertyDeclaration(member) && !ts.isPropertySignature(member)) return [];
  const symbol = checker.getSymbolAtLocation(member.name);
  if (symbol === undefined) return [];
  const tags = symbol.getJsDocTags(checker);
  const textsOf = (name: string): string[] =>
    tags.filter((tag) => tag.name === name).map((tag) => plain(ts.displayPartsToString(tag.text)));
  return [
    {
      name: member.name.getText(),
      type: typeTextOf(member),
      optional: !isGetter && member.questionToken !== undefined,
      doc: docOf(symbol, checker),
      fallback: textsOf("default")[0] ?? null,
      examples: textsOf("example"),
      plain: textsOf("plain")[0] ?? null,
      range: rangeOf(textsOf, ["minimum", "exclusiveMinimum", "maximum", "from"]),
      items: rangeOf(textsOf, ["minItems", "", "maxItems"]),
      kinds: kindsOf(textsOf),
      since: textsOf("since")[0] ?? null,
      isInherited: false,
    },
  ];
}

function typeTextOf({ type }: ts.PropertyDeclaration | ts.PropertySignature | ts.GetAccessorDeclaration): string {
  const text = (type?.getText() ?? "").replace(/\bpulumi\./g, "").replace(/\s+/g, " ");
  return UNIONS.reduce((whole, [name, union]) => whole.replaceAll(name, union), text);
}

function rangeOf(textsOf: (tag: string) => string[], tags: readonly string[]): NumberRange | null {
  const [min, above, max, from] = tags.map((tag) => textsOf(tag)[0]);
  const isCount = tags.includes("minItems");
  if ([min, above, from].every((tag) => tag === undefined) && !(isCount && max !== undefined)) return null;
  return {
    ...(from !== undefined
      ? { from: Number(from) }
      : above === undefined
        ? { min: Number(min ?? 0) }
        : { above: Number(above) }),
    ...(max === undefined ? {} : { max: Number(max) }),
  };
}

function kindsOf(textsOf: (tag: string) => string[]): FieldKinds | null {
  const [kinds] = textsOf("for");
  return kinds === undefined ? null : { takenBy: kinds.split(/\s+/), isRequired: textsOf("required").length > 0 };
}

function docOf(symbol: ts.Symbol, checker: ts.TypeChecker): string {
  return plain(ts.displayPartsToString(symbol.getDocumentationComment(checker)));
}

/** `{@link Name}` as code. */
function plain(text: string): string {
  return text.replace(/\{@link ([^}\s]+)\}/g, "`$1`").trim();
}
