// Original file: proto/podwire.proto


export interface Backend {
  'type'?: (string);
  'mode'?: (string);
  'vni'?: (number);
  'port'?: (number);
  'directRouting'?: (boolean);
  'mtu'?: (number);
}

export interface Backend__Output {
  'type': (string);
  'mode': (string);
  'vni': (number);
  'port': (number);
  'directRouting': (boolean);
  'mtu': (number);
}
