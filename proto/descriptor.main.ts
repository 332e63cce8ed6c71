import { readFileSync } from "node:fs";
import protobuf from "protobufjs";

/** Prints a TypeScript module with the .proto file given as the only argument as a protobufjs JSON descriptor. */
const [path = ""] = process.argv.slice(2);
const { root } = protobuf.parse(readFileSync(path, "utf8"));
const json = JSON.stringify(root.toJSON(), null, 1);
process.stdout.write(`// Made by hack/proto from ${path}; do not edit.\nexport const descriptor = ${json};\n`);
