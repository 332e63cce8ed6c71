// Original file: proto/podwire.proto


export interface ReserveSubnetRequest {
  'network'?: (string);
  'subnet'?: (string);
  'node'?: (string);
}

export interface ReserveSubnetRequest__Output {
  'network': (string);
  'subnet': (string);
  'node': (string);
}
