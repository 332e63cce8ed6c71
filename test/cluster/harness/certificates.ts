import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "../../netns/harness/exec.ts";
import type { Owner } from "../../netns/harness/node.ts";

/** A throw-away certificate authority in a temporary folder. */
export interface Authority {
  readonly ca: string;
  /** Makes a key and a certificate for that name, valid for these addresses. */
  issue(name: string, addresses: readonly string[]): Promise<{ readonly cert: string; readonly key: string }>;
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"] as const;

export async function createAuthority(owner: Owner): Promise<Authority> {
  const folder = mkdtempSync(join(tmpdir(), "podwire-tls-"));
  owner.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [ca, caKey] = [join(folder, "ca.pem"), join(folder, "ca.key")];
  await runOk([
    "openssl",
    "req",
    "-x509",
    ...EC,
    "-days",
    "2",
    "-subj",
    "/CN=podwire test CA",
    "-keyout",
    caKey,
    "-out",
    ca,
  ]);
  return {
    ca,
    async issue(name, addresses) {
      const [cert, key, request, extensions] = ["pem", "key", "csr", "ext"].map((suffix) =>
        join(folder, `${name}.${suffix}`),
      );
      if (cert === undefined || key === undefined || request === undefined || extensions === undefined)
        throw new Error("unreachable");
      writeFileSync(
        extensions,
        `subjectAltName=${[`DNS:${name}`, "DNS:localhost", ...addresses.map((each) => `IP:${each}`)].join(",")}\n`,
      );
      await runOk(["openssl", "req", ...EC, "-subj", `/CN=${name}`, "-keyout", key, "-out", request]);
      await runOk([
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        ca,
        "-CAkey",
        caKey,
        "-set_serial",
        `0x${randomBytes(8).toString("hex")}`,
        "-days",
        "2",
        "-extfile",
        extensions,
        "-out",
        cert,
      ]);
      return { cert, key };
    },
  };
}
