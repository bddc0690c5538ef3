// claim: docs/kubernetes/runtime.md: a newer runtime rolls…
import { expect, test } from "vitest";
import { recordProvider } from "../../../components/dynamic/runtimeRecord";

type State = Parameters<NonNullable<typeof recordProvider.update>>[1];

async function changed(olds: State, sha256?: string): Promise<State> {
  const news = sha256 === undefined ? {} : { sha256 };
  expect(await recordProvider.diff?.("runtimes", olds, news)).toEqual({ changes: olds.sha256 !== sha256 });
  return (await recordProvider.update?.("runtimes", olds, news))?.outs as State;
}

test("remembers each runtime that the plugin has had, newest first, without its own", async () => {
  // A plugin with its own image records none.
  let state = (await recordProvider.create({})).outs as State;
  expect(state).toEqual({ earlier: [] });
  state = await changed(state, "one");
  expect(state).toEqual({ sha256: "one", earlier: [] });
  state = await changed(await changed(state, "two"), "three");
  expect(state).toEqual({ sha256: "three", earlier: ["two", "one"] });
  // Back to one that it had.
  expect(await changed(state, "two")).toEqual({ sha256: "two", earlier: ["three", "one"] });
});

test("forgets those of long ago", async () => {
  let state = (await recordProvider.create({ sha256: "0" })).outs as State;
  for (let version = 1; version <= 20; version++) state = await changed(state, String(version));
  expect(state.earlier).toEqual(["19", "18", "17", "16", "15", "14", "13", "12", "11", "10", "9", "8"]);
});
