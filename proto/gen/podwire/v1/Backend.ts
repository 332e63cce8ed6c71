// Original file: proto/podwire.proto


export interface Backend {
  'type'?: (string);
  'mode'?: (string);
  'vni'?: (number);
  'port'?: (number);
  'directRouting'?: (boolean);
  'mtu'?: (number);
  'tunnel'?: (string);
}

export interface Backend__Output {
  'type': (string);
  'mode': (string);
  'vni': (number);
  'port': (number);
  'directRouting': (boolean);
  'mtu': (number);
  'tunnel': (string);
}
