/**
 * Lets a compiled module of re-exports load each module at the first use of one of its names: a program that declares
 * hosts loads half of the package's files.
 */

const REQUIRE = /^var (\w+) = require\("([^"]+)"\);\n/gm;
const GETTER = /^Object\.defineProperty\(exports, ("\w+"), .*get: function \(\) \{ return (\w+)(\.\w+); \} \}\);$/gm;
/** Replacement for `Object.defineProperty`: a scanner of exports drops the name of a getter that calls `require`. */
const LAZILY = "const lazily = (name, get) => Object.defineProperty(exports, name, { enumerable: true, get });\n";

/**
 * @param text of a module as TypeScript compiles it to CommonJS. It begins with the names of its exports, where Node.js
 *   finds them for `import { … }`.
 * @throws Error if a module is used otherwise
 */
export function lazyExports(text: string): string {
  const paths = new Map([...text.matchAll(REQUIRE)].map(([, name = "", path = ""]) => [name, path]));
  const lazy = text
    .replace(REQUIRE, "")
    .replace(GETTER, (line: string, exported: string, name: string, member: string) => {
      const path = paths.get(name);
      return path === undefined ? line : `lazily(${exported}, () => require("${path}")${member});`;
    })
    .replace(/^lazily/m, `${LAZILY}lazily`);
  const used = [...paths.keys()].find((name) => new RegExp(`\\b${name}\\b`).test(lazy));
  if (used !== undefined) throw new Error(`the module ${used} is not only re-exported`);
  return lazy;
}
