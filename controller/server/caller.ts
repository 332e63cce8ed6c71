import type { PeerCertificate } from "node:tls";

/** The part of a gRPC server call that says who is at the other end. */
export interface IdentifiedCall {
  getAuthContext(): { sslPeerCertificate?: PeerCertificate };
}

/**
 * Who calls: the name in the client's certificate (common name, or else the first DNS name), verified by the time the call
 * comes; "" for plaintext and for a client without a certificate. The one place to ask, for rights that build on it.
 */
export function callerName(call: IdentifiedCall): string {
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (certificate === undefined) return "";
  const common = certificate.subject?.CN;
  if (typeof common === "string" && common !== "") return common;
  const dns = certificate.subjectaltname?.split(", ").find((name) => name.startsWith("DNS:"));
  return dns?.slice("DNS:".length) ?? "";
}
