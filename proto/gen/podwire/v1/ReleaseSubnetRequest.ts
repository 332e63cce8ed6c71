// Original file: proto/podwire.proto


export interface ReleaseSubnetRequest {
  'network'?: (string);
  'subnet'?: (string);
  'force'?: (boolean);
}

export interface ReleaseSubnetRequest__Output {
  'network': (string);
  'subnet': (string);
  'force': (boolean);
}
