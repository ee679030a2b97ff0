// peer_node.mjs LIBRARY build|search ... - as peer.h says, for libraries that are had through node: usearch, zvec and lancedb, found
// from MODULES/node_modules. Each query goes through node's interface to native code, which takes part of its time.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const require = createRequire(path.join(process.env.MODULES ?? ".", "x.js"));
const ONE_SECONDS = 4, BATCH_SECONDS = 2, BATCH_CALLS_MAX = 7, WARMUP_QUERIES = 10;
const [library, mode, baseFile, store, metric, queryFile, kText, countText, out] = process.argv.slice(2);
const seconds = () => Number(process.hrtime.bigint()) / 1e9;

function readRows(file, most = Infinity) {
  const bytes = fs.readFileSync(file), dim = bytes.readInt32LE(0), rowBytes = 4 + 4 * dim;
  const count = Math.min(most, Math.floor(bytes.length / rowBytes)), data = new Float32Array(count * dim);
  const raw = new Uint8Array(data.buffer);
  for (let i = 0; i < count; i++) raw.set(bytes.subarray(i * rowBytes + 4, (i + 1) * rowBytes), i * 4 * dim);
  return { dim, count, data, row: (i) => data.slice(i * dim, (i + 1) * dim) };
}

// ---- libraries: build(base) and open(base) -> { one(query, k) -> ids, batch(queries, count, k) -> ids } ----------

const usearch = {
  wantsBase: true,
  open(base) {
    const { exactSearch, MetricKind } = require("usearch");
    const kind = metric === "cosine" ? MetricKind.Cos : MetricKind.L2sq;
    const find = (queries, k) => Array.from(exactSearch(base.data, queries, base.dim, k, kind, 1).keys, Number);
    return { one: find, batch: (queries, count, k) => find(queries, k) };
  },
};

const zvec = {
  load() {
    const z = require("@zvec/zvec");
    z.ZVecInitialize({ queryThreads: 1, optimizeThreads: 1, logLevel: z.ZVecLogLevel.ERROR });
    return z;
  },
  build(base) {
    const z = this.load();
    const schema = new z.ZVecCollectionSchema({
      name: "collection",
      vectors: {
        name: "v", dataType: z.ZVecDataType.VECTOR_FP32, dimension: base.dim,
        indexParams: {
          indexType: z.ZVecIndexType.FLAT,
          metricType: metric === "cosine" ? z.ZVecMetricType.COSINE : z.ZVecMetricType.L2,
        },
      },
    });
    const collection = z.ZVecCreateAndOpen(store, schema);
    for (let i = 0; i < base.count; i += 1000) {
      const rows = [];
      for (let j = i; j < Math.min(i + 1000, base.count); j++) rows.push({ id: String(j), vectors: { v: base.row(j) } });
      for (const status of collection.insertSync(rows)) if (!status.ok) throw new Error(status.message);
    }
    collection.optimizeSync({ concurrency: 1 });
    collection.closeSync();
  },
  open() {
    const collection = this.load().ZVecOpen(store, { readOnly: true });
    return { one: (vector, topk) => collection.querySync({ fieldName: "v", vector, topk, outputFields: [] }).map((r) => +r.id) };
  },
};

const lancedb = {
  async build(base) {
    const { connect } = require("@lancedb/lancedb"), arrow = require("apache-arrow");
    const float = new arrow.Float32(), list = new arrow.FixedSizeList(base.dim, new arrow.Field("item", float, true));
    const schema = new arrow.Schema([new arrow.Field("id", new arrow.Int32(), false), new arrow.Field("v", list, false)]);
    const piece = (first, length) => {
      const child = arrow.makeData({ type: float, length: length * base.dim, nullCount: 0,
                                     data: base.data.slice(first * base.dim, (first + length) * base.dim) });
      const children = [
        arrow.makeData({ type: new arrow.Int32(), length, nullCount: 0, data: Int32Array.from({ length }, (_, i) => first + i) }),
        arrow.makeData({ type: list, length, nullCount: 0, child }),
      ];
      return new arrow.Table(schema, new arrow.RecordBatch(schema,
        arrow.makeData({ type: new arrow.Struct(schema.fields), length, nullCount: 0, children })));
    };
    const db = await connect(store);
    let table;
    for (let i = 0; i < base.count; i += 10000) {
      const rows = piece(i, Math.min(10000, base.count - i));
      if (table) await table.add(rows);
      else table = await db.createTable("t", rows);
    }
  },
  async open() {
    const table = await (await require("@lancedb/lancedb").connect(store)).openTable("t");
    return {
      one: async (query, k) => {
        const found = await table.query().nearestTo(query).distanceType(metric).limit(k).select(["id", "_distance"]).toArrow();
        return Array.from(found.getChild("id").toArray());
      },
    };
  },
};

// ---- measuring, as peer.h does -------------------------------------------------------------------

function print(what, queries, took) {
  const total = took.reduce((a, b) => a + b, 0), calls = took.length;
  took.sort((a, b) => a - b);
  const qps = calls === queries ? queries / total : queries / took[calls >> 1];
  console.log(`${what} ${queries} ${qps.toFixed(2)} ${(took[calls >> 1] * 1e6).toFixed(1)} ` +
              (took[calls - 1 - Math.floor(calls / 100)] * 1e6).toFixed(1));
}

function write(what, rows, k) {
  const bytes = Buffer.alloc(rows.length * (4 + 4 * k));
  rows.forEach((ids, i) => {
    bytes.writeInt32LE(k, i * (4 + 4 * k));
    for (let j = 0; j < k; j++) bytes.writeInt32LE(ids[j] ?? -1, i * (4 + 4 * k) + 4 + 4 * j);
  });
  fs.writeFileSync(`${out}.${what}.ivecs`, bytes);
}

async function measureOne(opened, queries, k) {
  const took = [], found = [], rows = Array.from({ length: queries.count }, (_, i) => queries.row(i));
  let total = 0;
  for (let i = 0; i < Math.min(WARMUP_QUERIES, queries.count); i++) await opened.one(rows.at(-1 - i), k);
  for (let i = 0; i < queries.count && total < ONE_SECONDS; i++) {
    const start = seconds(), ids = opened.one(rows[i], k);
    found.push(ids instanceof Promise ? await ids : ids);
    took.push(seconds() - start);
    total += took[i];
  }
  write("one", found, k);
  print("one", took.length, took);
}

async function measureBatch(opened, queries, k) {
  const took = [];
  let total = 0, ids = opened.batch(queries.data, queries.count, k); // to warm up
  while (took.length < BATCH_CALLS_MAX && (took.length < 2 || total < BATCH_SECONDS)) {
    const start = seconds();
    ids = opened.batch(queries.data, queries.count, k);
    took.push(seconds() - start);
    total += took.at(-1);
  }
  write("batch", Array.from({ length: queries.count }, (_, i) => ids.slice(i * k, (i + 1) * k)), k);
  print("batch", queries.count, took);
}

const peer = { usearch, zvec, lancedb }[library];
if (mode === "build") {
  if (peer.build) await peer.build(readRows(baseFile));
} else {
  const queries = readRows(queryFile, Number(countText)), k = Number(kText);
  const opened = await peer.open(peer.wantsBase ? readRows(baseFile) : null);
  await measureOne(opened, queries, k);
  if (opened.batch) await measureBatch(opened, queries, k);
}
process.exit(0);
