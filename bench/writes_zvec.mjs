// writes_zvec.mjs FILE.fvecs FOLDER BATCH SINGLES - as writes.c, for zvec through node (package @zvec/zvec,
// found from MODULES/node_modules). It syncs when it is closed, not at each insertion: what is inserted may be
// lost until then.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [file, folder, batchText, singlesText] = process.argv.slice(2);
const zvec = createRequire(path.join(process.env.MODULES ?? ".", "x.js"))("@zvec/zvec");
const bytes = fs.readFileSync(file), dim = bytes.readInt32LE(0), rowBytes = 4 + 4 * dim;
const count = Math.floor(bytes.length / rowBytes), singles = Number(singlesText), batch = Number(batchText);
const vector = (i) => new Float32Array(bytes.buffer.slice(bytes.byteOffset + i * rowBytes + 4,
                                                          bytes.byteOffset + (i + 1) * rowBytes));
const rows = Array.from({ length: count }, (_, i) => ({ id: String(i), vectors: { v: vector(i) } }));

const bytesBelow = (where) => fs.statSync(where).isDirectory()
  ? fs.readdirSync(where).reduce((sum, name) => sum + bytesBelow(path.join(where, name)), 0)
  : fs.statSync(where).size;
const seconds = () => Number(process.hrtime.bigint()) / 1e9;

zvec.ZVecInitialize({ queryThreads: 1, optimizeThreads: 1, logLevel: zvec.ZVecLogLevel.ERROR });
const schema = new zvec.ZVecCollectionSchema({
  name: "collection",
  vectors: {
    name: "v", dataType: zvec.ZVecDataType.VECTOR_FP32, dimension: dim,
    indexParams: { indexType: zvec.ZVecIndexType.FLAT, metricType: zvec.ZVecMetricType.L2 },
  },
});
const collection = zvec.ZVecCreateAndOpen(folder, schema);
const put = (first, n) => {
  for (const status of collection.insertSync(rows.slice(first, first + n)))
    if (!status.ok) throw new Error(status.message);
};
const start = seconds();
for (let i = 0; i < count - singles; i += batch) put(i, Math.min(batch, count - singles - i));
const middle = seconds();
for (let i = count - singles; i < count; i++) put(i, 1);
const end = seconds();
collection.closeSync();
console.log(`${((count - singles) / (middle - start)).toFixed(0)} ${(singles / (end - middle)).toFixed(0)} ` +
            (bytesBelow(folder) / count).toFixed(1));
