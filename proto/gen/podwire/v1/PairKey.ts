// Original file: proto/podwire.proto


export interface PairKey {
  'publicKey'?: (Buffer | Uint8Array | string);
  'presharedKey'?: (Buffer | Uint8Array | string);
}

export interface PairKey__Output {
  'publicKey': (Buffer);
  'presharedKey': (Buffer);
}
