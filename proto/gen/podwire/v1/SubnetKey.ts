// Original file: proto/podwire.proto


export interface SubnetKey {
  'network'?: (string);
  'subnet'?: (string);
}

export interface SubnetKey__Output {
  'network': (string);
  'subnet': (string);
}
