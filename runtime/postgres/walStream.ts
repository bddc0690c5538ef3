/**
 * Receives WAL like a standby: one connection that identifies the server, then streams ("Streaming Replication
 * Protocol").
 *
 * The connection is a walsender bound to a database (`replication=database`), because that accepts SQL too and needs no
 * separate line in pg_hba.conf. Streaming uses no slot: unarchived WAL stays in pg_wal anyway, and a slot without a
 * reader would fill it. Where a slot takes the archiver's part (`archive: "stream"`), it holds what is not confirmed.
 *
 * An asynchronous receiver reports received WAL as written and never as flushed. So `synchronous_standby_names = '*'`
 * never waits for it, while a server that shuts down learns immediately that everything was sent. A synchronous
 * receiver reports as written and flushed what is confirmed, immediately, so that `synchronous_commit = remote_write`
 * waits too. Neither reports WAL as applied: nobody reads a repository by SQL. Commits with `remote_apply` would wait
 * forever (PostgreSQL "pg_receivewal" says the same of itself).
 *
 * A receiver with a slot confirms by two messages. The first one moves the slot; the second one takes the flush
 * position back, which leaves the slot where it is. A server that shuts down waits until a receiver has flushed
 * everything, or has received everything if it reports no flush position: the last segment is never whole, so it would
 * wait forever (PostgreSQL 18, replication/walsender.c, ProcessStandbyReplyMessage and WalSndDone).
 */
import type { Connection, Submittable } from "pg";
import type { Clock } from "../base/clock";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { formatLsn, parseLsn } from "../format/wal/walSegment";
import type { SessionTarget } from "./session";

export interface StreamSource {
  readonly systemId: bigint;
  readonly timeline: number;
  /** The server's flush position. */
  readonly flushLsn: bigint;
  /** A standby: another server writes. */
  readonly inRecovery: boolean;
}

/** Where to begin. With a slot the server keeps the WAL that was not confirmed. */
export interface ReceiveStart {
  readonly timeline: number;
  readonly lsn: bigint;
  readonly slot?: string;
}

/** Called with WAL in order; the bytes are valid until it returns. */
export type WalSink = (lsn: bigint, wal: Uint8Array) => void;

/** Up to which position WAL is confirmed as flushed. */
export interface Confirmation {
  /** 0 while unknown: the server then does not count this receiver as synchronous. */
  readonly lsn: bigint;
  /** The listener is called whenever `lsn` has changed. */
  onChange(listener: () => void): void;
}

/** Message types of a bidirectional copy. */
const WAL_DATA = 0x77;
const KEEPALIVE = 0x6b;
const STATUS = 0x72;
const WAL_HEAD_SIZE_BYTES = 25;
const STATUS_SIZE_BYTES = 34;
const STATUS_EVERY_MS = 10_000;
/** After this silence the server is asked for a reply; after twice that the connection is given up. */
const SILENCE_MS = 30_000;
/** 2000-01-01 in milliseconds since 1970: PostgreSQL's epoch. */
const EPOCH_MS = 946_684_800_000;

interface StreamClient {
  connect(): Promise<unknown>;
  query(text: string): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
  query<T extends Submittable>(query: T): T;
  on(event: "error" | "end", listener: () => void): unknown;
  end(): Promise<void>;
}

export class WalStream {
  readonly #client: StreamClient;
  readonly #clock: Clock;

  private constructor(client: StreamClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** @throws dbConnect (56) */
  static async open(target: SessionTarget, clock: Clock): Promise<WalStream> {
    const pg = await import("pg");
    const config = {
      host: target.host,
      port: target.port,
      user: target.user,
      database: target.database,
      application_name: target.applicationName,
      connectionTimeoutMillis: Math.min(target.queryTimeoutMs, 60_000),
      replication: "database",
      ...(target.password === undefined ? {} : { password: target.password.reveal() }),
    };
    const client: StreamClient = new pg.Client(config);
    // Only the end of the connection counts; the pending call reports the reason.
    client.on("error", () => {});
    try {
      await client.connect();
    } catch (error) {
      await client.end().catch(() => {});
      throw fail(
        "dbConnect",
        `unable to connect for streaming to '${target.host}' port ${target.port}: ${toBackupError(error).message}`,
        {
          hint: hintOf(error, target),
          cause: error,
          retryable: true,
        },
      );
    }
    return new WalStream(client, clock);
  }

  /** @throws dbQuery (57) */
  async identify(): Promise<StreamSource> {
    try {
      const [system] = (await this.#client.query("IDENTIFY_SYSTEM")).rows;
      const [state] = (await this.#client.query("SELECT pg_catalog.pg_is_in_recovery() AS in_recovery")).rows;
      return {
        systemId: BigInt(String(system?.systemid)),
        timeline: Number(system?.timeline),
        flushLsn: parseLsn(String(system?.xlogpos)),
        inRecovery: state?.in_recovery !== false,
      };
    } catch (error) {
      throw fail("dbQuery", `the server does not report its WAL position: ${toBackupError(error).message}`, {
        cause: error,
        retryable: true,
      });
    }
  }

  /** Receives until the connection ends, and returns why; there is no other end. `signal` ends it too. */
  async receive(
    start: ReceiveStart,
    sink: WalSink,
    signal: AbortSignal,
    confirmation: Confirmation | null = null,
  ): Promise<BackupError> {
    const ended = new AbortController();
    const receiver = new Receiver(start, sink, confirmation, this.#clock, () => ended.abort());
    confirmation?.onChange(() => receiver.confirm());
    this.#client.on("end", () => ended.abort());
    this.#client.query(receiver);
    const either = AbortSignal.any([ended.signal, signal]);
    while (!either.aborted) {
      await this.#clock.sleep(STATUS_EVERY_MS, either).catch(() => {});
      if (!either.aborted) receiver.lookAfter(() => ended.abort());
    }
    await this.close();
    return (
      receiver.error ??
      fail("dbConnect", signal.aborted ? "streaming was ended" : "the server has ended the stream", { retryable: true })
    );
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => {});
  }
}

/** The hint for the code of the server's refusal (PostgreSQL "Error Codes"); system errors have other codes. */
function hintOf(error: unknown, { database, user }: SessionTarget): string {
  switch ((error as { readonly code?: unknown }).code) {
    case "42501":
      return `ALTER ROLE "${user}" REPLICATION; or name a role that has it as pg1-user.`;
    case "53300":
      return "All WAL senders are in use. Raise max_wal_senders (or max_connections) in postgresql.conf and restart PostgreSQL.";
    case "28000":
    case "28P01":
      return `Allow '${user}' to connect to the database '${database}' in pg_hba.conf; a line for "replication" is not needed.`;
    case "3D000":
      return "Set pg1-database to an existing database.";
    default:
      return "is PostgreSQL running on this host, and do pg1-socket-path and pg1-port point at it?";
  }
}

/** One START_REPLICATION as the library's client runs it; the library defines the method names. */
class Receiver implements Submittable {
  error: BackupError | null = null;
  readonly #start: ReceiveStart;
  readonly #sink: WalSink;
  readonly #confirmation: Confirmation | null;
  readonly #clock: Clock;
  readonly #ended: () => void;
  #confirmed = 0n;
  #connection: CopyConnection | null = null;
  #received: bigint;
  #heardAtMs: number;

  constructor(start: ReceiveStart, sink: WalSink, confirmation: Confirmation | null, clock: Clock, ended: () => void) {
    this.#start = start;
    this.#sink = sink;
    this.#confirmation = confirmation;
    this.#clock = clock;
    this.#ended = ended;
    this.#received = start.lsn;
    this.#heardAtMs = clock.monotonicMs();
  }

  submit(connection: Connection): void {
    const copying: CopyConnection = connection as CopyConnection;
    copying.once("replicationStart", () => {
      this.#connection = copying;
      this.confirm();
    });
    // The timeline has ended: the server would accept commands, but we reconnect.
    copying.once("copyDone", () => this.#ended());
    const { lsn, slot, timeline } = this.#start;
    const held = slot === undefined ? "" : `SLOT "${slot}" `;
    copying.query(`START_REPLICATION ${held}PHYSICAL ${formatLsn(lsn)} TIMELINE ${timeline}`);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    this.#heardAtMs = this.#clock.monotonicMs();
    if (chunk[0] === WAL_DATA && chunk.length >= WAL_HEAD_SIZE_BYTES) {
      const wal = chunk.subarray(WAL_HEAD_SIZE_BYTES);
      const lsn = chunk.readBigUInt64BE(1);
      try {
        this.#sink(lsn, wal);
      } catch (error) {
        // The library calls this from an event: a thrown error would end the process.
        this.error ??= toBackupError(error);
        return this.#ended();
      }
      this.#received = lsn + BigInt(wal.length);
    } else if (chunk[0] === KEEPALIVE && chunk[chunk.length - 1] === 1) this.#sendStatus(false);
  }

  /** Sends a new confirmed position immediately. */
  confirm(): void {
    const lsn = this.#confirmation?.lsn ?? 0n;
    if (lsn === this.#confirmed || this.#connection === null) return;
    this.#confirmed = lsn;
    if (this.#start.slot !== undefined) this.#send(this.#received, lsn, false);
    this.#sendStatus(false);
  }

  /** Sends a status message from time to time; ends a connection that was silent for too long. */
  lookAfter(end: () => void): void {
    const silentMs = this.#clock.monotonicMs() - this.#heardAtMs;
    if (silentMs > 2 * SILENCE_MS) {
      this.error ??= fail("dbConnect", `the server has been silent for ${Math.floor(silentMs / 1000)} seconds`, {
        retryable: true,
      });
      end();
    } else this.#sendStatus(silentMs > SILENCE_MS);
  }

  #sendStatus(wantsAnswer: boolean): void {
    if (this.#start.slot === undefined) this.#confirmed = this.#confirmation?.lsn ?? 0n;
    // 0 means "not known": no commit waits for this receiver as long as it has confirmed nothing.
    const flushed = this.#start.slot === undefined ? this.#confirmed : 0n;
    this.#send(flushed === 0n ? this.#received : flushed, flushed, wantsAnswer);
  }

  #send(written: bigint, flushed: bigint, wantsAnswer: boolean): void {
    if (this.#connection === null) return;
    const status = Buffer.alloc(STATUS_SIZE_BYTES);
    status.writeUInt8(STATUS, 0);
    status.writeBigUInt64BE(written, 1);
    status.writeBigUInt64BE(flushed, 9);
    status.writeBigInt64BE(BigInt(Math.floor(this.#clock.nowMs() - EPOCH_MS)) * 1000n, 25);
    status.writeUInt8(wantsAnswer ? 1 : 0, 33);
    this.#connection.sendCopyFromChunk(status);
  }

  handleError(error: unknown): void {
    this.error ??= fail("dbQuery", `the server ends the stream: ${toBackupError(error).message}`, {
      cause: error,
      retryable: true,
    });
    this.#ended();
  }

  handleReadyForQuery(): void {
    this.#ended();
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

/** Members that the library's types omit. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(bytes: Buffer): void;
}
