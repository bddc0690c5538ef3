/**
 * List prices of object stores with their date and source, printed with every estimate. US dollars without tax, the
 * smallest tier.
 */
export interface PriceRow {
  /** Row of the S3 providers' table, `azure` or `gcs`. */
  readonly provider: string;
  readonly storageClass: string;
  readonly storagePerGbMonth: number;
  readonly freeGb: number;
  /** Writes and lists, per million calls. */
  readonly writesPerMillion: number;
  /** Free calls a month. */
  readonly freeWrites: number;
  readonly readsPerMillion: number;
  readonly freeReads: number;
  readonly egressPerGb: number;
  /** Free egress, as a multiple of the stored amount and as an amount. */
  readonly freeEgressTimesStored: number;
  readonly freeEgressGb: number;
  readonly retrievalPerGb: number;
  /** Objects removed earlier are billed for so long. */
  readonly minimumDays: number;
  /** Minimum billed size. */
  readonly minimumGb: number;
}

/** Day of the last comparison with the vendors' pages. */
export const PRICES_AS_OF = "2026-11-20";

const NOTHING_FREE = {
  freeGb: 0,
  freeWrites: 0,
  freeReads: 0,
  freeEgressTimesStored: 0,
  freeEgressGb: 0,
  retrievalPerGb: 0,
  minimumDays: 0,
  minimumGb: 0,
} as const;

const PRICES: readonly PriceRow[] = [
  {
    ...NOTHING_FREE,
    provider: "b2",
    storageClass: "standard",
    storagePerGbMonth: 0.00695,
    freeGb: 10,
    writesPerMillion: 0,
    readsPerMillion: 0,
    egressPerGb: 0.01,
    freeEgressTimesStored: 3,
  },
  {
    ...NOTHING_FREE,
    provider: "r2",
    storageClass: "standard",
    storagePerGbMonth: 0.015,
    freeGb: 10,
    writesPerMillion: 4.5,
    readsPerMillion: 0.36,
    freeReads: 10_000_000,
    freeWrites: 1_000_000,
    egressPerGb: 0,
  },
  {
    ...NOTHING_FREE,
    provider: "aws",
    storageClass: "standard",
    storagePerGbMonth: 0.023,
    writesPerMillion: 5,
    readsPerMillion: 0.4,
    egressPerGb: 0.09,
    freeEgressGb: 100,
  },
  // Hot tier of Azure, locally redundant, in the United States (East US), from published examples: not compared with
  // Microsoft's page on that day. Other redundancies have no row.
  ...["standard", "standard_lrs"].map(
    (storageClass): PriceRow => ({
      ...NOTHING_FREE,
      provider: "azure",
      storageClass,
      storagePerGbMonth: 0.018,
      writesPerMillion: 5,
      readsPerMillion: 0.5,
      egressPerGb: 0.087,
      freeEgressGb: 100,
    }),
  ),
  // Standard class in one region of the United States (us-central1), from published examples: not compared with
  // Google's page on that day.
  {
    ...NOTHING_FREE,
    provider: "gcs",
    storageClass: "standard",
    storagePerGbMonth: 0.02,
    writesPerMillion: 5,
    readsPerMillion: 0.4,
    egressPerGb: 0.12,
  },
  {
    ...NOTHING_FREE,
    provider: "wasabi",
    storageClass: "standard",
    storagePerGbMonth: 0.00799,
    writesPerMillion: 0,
    readsPerMillion: 0,
    egressPerGb: 0,
    minimumDays: 90,
    minimumGb: 1000,
  },
];

/** Null for a provider or class without a price. */
export function findPrice(provider: string, storageClass = "standard"): PriceRow | null {
  return PRICES.find((row) => row.provider === provider && row.storageClass === storageClass.toLowerCase()) ?? null;
}

/** US dollars a month for an average size in 10⁹ bytes, without calls and downloads. */
export function storageCost(row: PriceRow, storedGb: number): number {
  return Math.max(storedGb - row.freeGb, row.minimumGb - row.freeGb, 0) * row.storagePerGbMonth;
}
