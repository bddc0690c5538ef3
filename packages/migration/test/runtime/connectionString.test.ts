import { describe, expect, test } from "vitest";
import { findPassword, parseConnection, programEnvironment } from "../../runtime/connectionString";

const parse = (text: string) => parseConnection("from-server", text, "me");

describe("connection keywords", () => {
  test("are libpq's, quoted or not", () => {
    expect(parse("host=a.example")).toEqual({
      host: "a.example",
      port: 5432,
      user: "me",
      database: "postgres",
      sslMode: "prefer",
    });
    expect(parse(String.raw` host = '/var/run/my pg'  port=5433 user='o\'neil' dbname=x\ y sslmode=require `)).toEqual({
      host: "/var/run/my pg",
      port: 5433,
      user: "o'neil",
      database: "x y",
      sslMode: "require",
    });
  });

  test.each([
    ["host=a password=geheim", "holds a password"],
    ["postgresql://a:geheim@b/c", "is a URI"],
    ["host=a prot=1", "unknown keyword 'prot'"],
    ["host=a host=b", "has 'host' twice"],
    ["host=a port=0", "has port '0'"],
    ["host=a sslmode=allow", "has sslmode 'allow'"],
    ["host=a sslmode=verify-full", "no sslrootcert"],
    ["user=a", "names no host"],
    ["host", "is no list"],
  ])("%s is refused, without showing a password", (text, args) => {
    expect(() => parse(text)).toThrow(args);
    expect(() => parse(text)).not.toThrow("geheim");
  });

  test("reach programs through their environment, the database too", () => {
    const password = findPassword("#c\nb:*:*:me:no\na:5432:*:me:p\\:w\\\\\n", parse("host=a"));
    expect(password?.reveal()).toBe("p:w\\");
    expect(programEnvironment({ ...parse("host=a"), ...(password === null ? {} : { password }) }, "host=evil")).toEqual(
      {
        PGHOST: "a",
        PGPORT: "5432",
        PGUSER: "me",
        PGDATABASE: "host=evil",
        PGSSLMODE: "prefer",
        PGCONNECT_TIMEOUT: "60",
        PGPASSWORD: "p:w\\",
      },
    );
    expect(findPassword("localhost:5432:*:me:here", parse("host=/tmp"))?.reveal()).toBe("here");
    expect(findPassword("a:5432:*:you:no", parse("host=a"))).toBeNull();
  });
});
