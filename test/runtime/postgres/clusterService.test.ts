import { expect, test } from "vitest";
import { serviceLogin } from "../../../runtime/postgres/clusterService";

const requestOf = (files: Readonly<Record<string, string>>) => ({
  host: "orders-rw",
  secretPath: "/production",
  applicationName: "test",
  readFile: async (path: string) => (files[path] === undefined ? null : Buffer.from(files[path])),
});
const APP = { "/production/username": "app\n", "/production/password": "a:b", "/production/dbname": "shop" };
const SUPERUSER = { "/production/superuser/username": "postgres", "/production/superuser/password": "s" };

test("signs in as the superuser where its Secret is, else as the application", async () => {
  expect(await serviceLogin(requestOf({ ...APP, ...SUPERUSER }))).toMatchObject({
    user: "postgres",
    database: "postgres",
    isSuperuser: true,
  });
  const app = await serviceLogin(requestOf(APP));
  expect(app).toMatchObject({ user: "app", database: "shop", isSuperuser: false });
  expect(app.password.reveal()).toBe("a:b");
  expect(JSON.stringify(app)).not.toContain("a:b");
});

test("a Secret of a user's own has no database: that of the role's name", async () => {
  const { "/production/dbname": _none, ...own } = APP;
  expect((await serviceLogin(requestOf(own))).database).toBe("app");
});

test("without a Secret nobody signs in", async () => {
  await expect(serviceLogin(requestOf({}))).rejects.toThrow("there is no Secret with credentials");
  await expect(serviceLogin({ ...requestOf(APP), secretPath: undefined })).rejects.toThrow("there is no Secret");
});
