import t from "tap";
import { parseWireguardPublicKey, wireguardPublicKey, wireguardPublicKeyBytes } from "./wireguard-key.ts";

const KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpbXF1eX2A=";

t.test("a public key is 32 bytes in the one base64 text that they have", async (t) => {
  t.equal(parseWireguardPublicKey(KEY), KEY);
  const bytes = wireguardPublicKeyBytes(parseWireguardPublicKey(KEY));
  t.equal(bytes.length, 32);
  t.equal(wireguardPublicKey(bytes), KEY);
  t.throws(() => wireguardPublicKey(bytes.subarray(1)), RangeError);
});

t.test("what is no public key is refused", async (t) => {
  const refused = {
    nothing: "",
    "one character less": KEY.slice(1),
    "another alphabet": KEY.replace("Q", "-"),
    "bits beyond the last byte": KEY.replace("A=", "B="),
    "white space": `${KEY}\n`,
    zeros: `${"A".repeat(43)}=`,
  };
  for (const [what, text] of Object.entries(refused)) t.throws(() => parseWireguardPublicKey(text), RangeError, what);
});
