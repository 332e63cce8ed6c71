import { loadPackageDefinition } from "@grpc/grpc-js";
import { fromJSON, type Options } from "@grpc/proto-loader";
import { descriptor } from "./gen/descriptor.ts";
import type { ProtoGrpcType } from "./gen/podwire.ts";

/** How messages look in JavaScript; hack/proto makes the types in gen/ for exactly these options. */
const OPTIONS: Options = { longs: Number, enums: String, defaults: true, oneofs: true, arrays: true };

/** Loads the services and message types of proto/podwire.proto, without reading any file. */
export function loadProto(): ProtoGrpcType["podwire"]["v1"] {
  const grpcObject = loadPackageDefinition(
    fromJSON(descriptor as Parameters<typeof fromJSON>[0], OPTIONS),
  ) as unknown as ProtoGrpcType;
  return grpcObject.podwire.v1;
}
