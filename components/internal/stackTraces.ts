/**
 * The stack traces that Pulumi's SDK takes. It formats one for each of its promises, several for every property, and
 * maps its lines to sources: a third of the time that a program takes. Nothing shows them but
 * `PULUMI_DEBUG_PROMISE_LEAKS`. And the state has one for every resource: 600 bytes, for children most of them about
 * this package. The component itself has the position in the program.
 */

const SDK = /[\\/]@pulumi[\\/]pulumi[\\/]/;
const SDK_PROMISES = /[\\/]@pulumi[\\/]pulumi[\\/]runtime[\\/]debuggable\.js$/;

/** The first releases of Node.js 20 have no default. */
const errors: { prepareStackTrace?: typeof Error.prepareStackTrace | undefined } = Error;

/**
 * Omits those of promises for the rest of the process: the SDK makes most of them later, when values arrive. With
 * `PULUMI_DEBUG_PROMISE_LEAKS`, which prints them, nothing is omitted.
 */
export function omitPromiseTraces(): void {
  omitTraces(SDK_PROMISES);
}

/** Children without any stack trace of the SDK. Errors keep theirs; with `PULUMI_DEBUG_PROMISE_LEAKS` all do. */
export function withoutStackTraces<T>(declare: () => T): T {
  const format = errors.prepareStackTrace;
  omitTraces(SDK);
  try {
    return declare();
  } finally {
    errors.prepareStackTrace = format;
  }
}

/** V8 formats a stack trace when something reads it. */
function omitTraces(files: RegExp): void {
  const format = errors.prepareStackTrace;
  if (format === undefined || process.env["PULUMI_DEBUG_PROMISE_LEAKS"] !== undefined) return;
  errors.prepareStackTrace = (error, calls): unknown =>
    files.test(calls[0]?.getFileName() ?? "") ? "" : format(error, calls);
}
