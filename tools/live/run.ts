/** `npm run test:live`, independent of the source of its variables and of its output. */
import { ACCOUNTS, type Account, bucketVariables, type Environment, findBucketAccess, missingOf } from "./accounts";
import { type ComponentOptions, tryComponents } from "./components";
import { type Print, tryData } from "./data";

/** Runs everything that the environment has accounts for, and prints how to enable the rest. Returns the exit code. */
export async function runLive(environment: Environment, print: Print, options: ComponentOptions = {}): Promise<number> {
  let tried = 0;
  let failed = 0;
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    tried++;
    try {
      await work();
      print(`PASSED ${what}`);
    } catch (error) {
      failed++;
      print(`FAILED ${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  for (const account of ACCOUNTS) {
    const access = findBucketAccess(account, environment);
    if (access === null)
      skip(
        print,
        `${account.prefix}: doctor, backup, WAL, verify and restore`,
        bucketVariables(account),
        environment,
        account.howTo,
      );
    else await attempt(`${account.prefix}: doctor, backup, WAL, verify and restore`, () => tryData(access, print));
    await components(account);
  }
  print(
    tried === 0 ? "NOTHING WAS TESTED: no account is in the environment" : `${tried - failed} passed, ${failed} failed`,
  );
  return failed === 0 ? 0 : 1;

  async function components(account: Account): Promise<void> {
    const what = `${account.prefix}: up, second up, backup with the keys that were made, destroy`;
    if (missingOf(environment, account.management).length > 0)
      skip(print, what, account.management, environment, account.managementHowTo);
    else await attempt(what, () => tryComponents(account, environment, print, options));
  }
}

function skip(print: Print, what: string, names: readonly string[], environment: Environment, howTo: string): void {
  print(`NOT RUN ${what}: ${missingOf(environment, names).join(", ")} not set\n  to make throw-away ones: ${howTo}`);
}
